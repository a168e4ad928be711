"""The pipelines that come with rnla: named jobs, found through the entry-point group "rnla.pipelines"."""
