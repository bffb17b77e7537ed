from tests.pipeline.conftest import sets, tiny_folder  # noqa: F401 - fixtures
