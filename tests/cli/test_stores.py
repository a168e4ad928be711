import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from rnla.errors import IntegrityError, OutputExistsError, StoreError


def damage(store, key="c/2/0"):
    """Change one byte of a chunk."""
    path = Path(store, key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_info_is_a_table_for_people(command, store):
    told = dict(line.split(maxsplit=1) for line in command("info", store).stdout.splitlines()[1:])
    assert told["matrix"].startswith("400 x 30 float64")
    assert told["size"].startswith("96 kB decoded")
    assert told["manifest"].startswith("none; `rnla fingerprint")
    assert "8 x 1 = 8 chunks" in told["chunks"]


@pytest.mark.parametrize("kind", ["group", "folder"])
def test_info_of_a_group_or_folder_names_the_arrays_in_it(command, tmp_path, kind):
    if kind == "group":
        zarr.create_group(str(tmp_path / "g.zarr"))
    zarr.create_array(str(tmp_path / "g.zarr" / "inside"), data=np.eye(3))
    done = command("info", tmp_path / "g.zarr")
    assert done.exit_code == StoreError.exit_code
    assert f"this is a {kind}, not an array" in done.stderr
    assert f"{tmp_path}/g.zarr/inside" in done.stderr


def test_info_tells_panels_as_they_are_read(command, tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), data=np.ones((60, 6)), chunks=(7, 6))
    assert json.loads(command("info", tmp_path / "a.zarr", "--json").stdout)["panel_rows"] == 60
    zarr.create_array(str(tmp_path / "b.zarr"), shape=(100_000, 18_000), chunks=(10_000, 200), dtype="f8")
    told = dict(line.split(maxsplit=1) for line in command("info", tmp_path / "b.zarr").stdout.splitlines()[1:])
    assert told["panels"].startswith("10 of 10,000 rows, read in 90 parts, 16 MB each")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((3, 3), "M8[s]"), "elements of type numpy.datetime64 are not numbers"),
        (np.zeros(3), "this array has 1 dimension (3)"),
    ],
)
def test_what_is_no_matrix_is_named(command, tmp_path, values, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr's own, of types without a specification
        zarr.create_array(str(tmp_path / "x.zarr"), data=values)
    done = command("info", tmp_path / "x.zarr")
    assert done.exit_code == 2
    assert words in done.stderr


def test_info_tells_of_missing_chunks(command, store):
    Path(store, "c/1/0").unlink()
    assert "7 of 8 objects there" in command("info", store).stdout


def test_info_tells_of_a_stale_manifest(command, store):
    command("fingerprint", store)
    metadata = Path(store, "zarr.json")
    metadata.write_text(metadata.read_text().replace("400", "399"))
    done = command("info", store)
    assert done.exit_code == 0
    assert "stale" in done.stdout


def test_info_knows_the_side_that_is_swept(command, tmp_path):
    zarr.create_array(str(tmp_path / "w.zarr"), data=np.ones((20, 500)), chunks=(20, 50))
    assert json.loads(command("info", tmp_path / "w.zarr", "--json").stdout)["swept_along"] == "columns"


def test_info_knows_shards_and_old_formats(command, tmp_path):
    zarr.create_array(str(tmp_path / "s.zarr"), data=np.ones((40, 6)), chunks=(5, 6), shards=(20, 6))
    zarr.create_array(str(tmp_path / "v2.zarr"), data=np.ones((40, 6)), chunks=(10, 6), zarr_format=2)
    sharded = json.loads(command("info", tmp_path / "s.zarr", "--json").stdout)
    old = json.loads(command("info", tmp_path / "v2.zarr", "--json").stdout)
    assert (sharded["shards"], sharded["objects"], sharded["objects_expected"]) == ([4, 1], 2, 2)
    assert (old["zarr_format"], old["objects"]) == (2, 4)


def test_verify_names_the_damaged_chunk(command, store):
    command("fingerprint", store)
    damage(store)
    done = command("verify", store)
    assert done.exit_code == IntegrityError.exit_code
    assert "c/2/0" in done.stderr
    assert "1 of 8 chunks damaged" in done.stderr
    assert done.stdout == ""


def test_verify_without_a_manifest_says_what_it_cannot_see(command, store):
    assert "there is no manifest" in command("verify", store).stdout


def test_rechunk_leaves_a_folder_of_others_alone(command, store, tmp_path):
    (tmp_path / "mine").mkdir()
    done = command("rechunk", store, tmp_path / "mine", "--overwrite")
    assert done.exit_code == OutputExistsError.exit_code
    assert (tmp_path / "mine").is_dir()


def test_a_copy_holds_the_same_numbers_and_a_manifest(command, store, matrix, tmp_path):
    assert command("rechunk", store, tmp_path / "b.zarr", "--panel", "20kB", "--codec", "none").exit_code == 0
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "b.zarr"), mode="r")[...], matrix)
    assert "every chunk is checked" in command("info", tmp_path / "b.zarr").stdout
