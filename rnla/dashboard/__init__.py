"""Reports: results drawn as text and HTML; no mathematics."""
