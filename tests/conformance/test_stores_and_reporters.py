import pytest

from pytest_perfguard.baseline.folder import FolderStore
from pytest_perfguard.model import Run
from pytest_perfguard.registry import Registry
from pytest_perfguard.testing import check_reporter, check_store, example_header, example_measurement


def test_the_folder_store_conforms(tmp_path):
    check_store(lambda: FolderStore(tmp_path / "baselines"))


@pytest.mark.parametrize("name", ["json", "markdown", "terminal"])
def test_built_in_reporters_conform(name):
    run = Run(header=example_header("1", "2026-01-01T00:00:00Z"), measurements=(example_measurement(1000),))
    check_reporter(Registry().reporter(name, "a test"), run)


def test_a_forgetful_store_is_found(tmp_path):
    class Forgetful(FolderStore):
        def samples(self, header):
            return {}

    with pytest.raises((AssertionError, KeyError)):
        check_store(lambda: Forgetful(tmp_path))
