"""Sources: every module of the package is one and brings its keys, and none is imported before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quasarcurves.provenance import fingerprint
from quasarcurves.quasarnet.declared import with_sources
from quasarcurves.spectra import sources
from quasarcurves.study.schema import StudyError, validate

ROOT = Path(__file__).parents[4]
BASE = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
SMOKE = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())

NEW = '''
"""A source of one's own."""
SCHEMA = {
    "required": ["catalogue"],
    "properties": {
        "catalogue": {"description": "A table.", "type": "string"},
        "depth": {"description": "How deep.", "type": "integer", "minimum": 1, "default": 3},
    },
}

def check(config):
    if config["depth"] > 9:
        raise ValueError(f"data.depth is {config['depth']}, expected at most 9")

def input_files(config):
    return [config["catalogue"]]
'''


@pytest.fixture
def new_source(tmp_path, monkeypatch):
    """One more module in the package."""
    (tmp_path / "my_survey.py").write_text(NEW)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    caches = (sources.names, sources.file_sources)
    for each in caches:
        each.cache_clear()
    yield "my_survey"
    sys.modules.pop(f"{sources.__name__}.my_survey", None)
    for each in caches:
        each.cache_clear()


def checked(**data):
    return validate({**SMOKE, "data": data}, with_sources(BASE, sources.schemas()))["data"]


def test_every_module_is_a_source():
    assert sources.names() == ("desi", "quasarnet_fits", "sdss", "simulated")
    assert sources.file_sources() == ("desi", "quasarnet_fits", "sdss")


def test_keys_are_described_and_needed_ones_are_among_them():
    for name, schema in sources.schemas().items():
        assert set(schema) == {"required", "properties"}, name
        assert set(schema["required"]) <= set(schema["properties"]), name
        for key, meaning in schema["properties"].items():
            assert meaning["description"].endswith("."), f"{name}: {key}"


def test_a_new_module_is_a_source_with_its_keys_and_defaults(new_source):
    assert new_source in sources.names()
    assert new_source not in sources.file_sources()
    data = checked(source=new_source, catalogue="a.csv")
    assert data == {"source": new_source, "catalogue": "a.csv", "depth": 3}
    assert sources.input_files(data) == ["a.csv"]
    with pytest.raises(ValueError, match=r"data\.depth is 10, expected at most 9"):
        sources.check({**data, "depth": 10})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "my_survey"}, "data: the key 'catalogue' is missing"),
        ({"source": "my_survey", "catalogue": 3}, "data.catalogue is 3, expected string"),
        ({"source": "my_survey", "catalogue": "a", "dept": 3}, "data: unknown key 'dept'; did you mean 'depth'?"),
        ({"source": "my_survey", "catalogue": "a", "n_spectra": 3}, "data: unknown key 'n_spectra'"),
        ({"source": "my_surve", "catalogue": "a"}, "data.source is 'my_surve'; did you mean 'my_survey'?"),
        ({"source": "desi", "spectra": "a.fits"}, "data: the key 'catalogue' is missing"),
        ({"source": "sdss", "spectra": [], "catalogue": "a.csv"}, "data.spectra is empty"),
        ({"source": "simulated", "n_spectra": 0}, "data.n_spectra is 0, expected at least 1"),
    ],
)
@pytest.mark.usefixtures("new_source")
def test_keys_of_a_source_are_checked_by_its_own_schema(data, message):
    with pytest.raises(StudyError) as caught:
        checked(**data)
    assert str(caught.value).startswith(message)


def test_names_and_schemas_are_known_without_astropy():
    program = (
        "import json, sys\nfrom quasarcurves.spectra import sources\n"
        "sources.file_sources(), sources.schemas()\nprint(json.dumps(sorted({'astropy', 'pandas'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_source_is_imported_only_when_it_is_used():
    program = (
        "import json, sys\nfrom quasarcurves.spectra import sources\n"
        "sources.check({'source': 'simulated', 'n_spectra': 1})\n"
        "print(json.dumps([name for name in sources.names() if f'{sources.__name__}.{name}' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["simulated"]


def test_rewording_a_key_of_a_source_reruns_nothing():
    text = Path(sources.__file__).with_name("sdss.py").read_text()
    for old, new in {"Folder, list or glob of": "A folder or files", "100_000": "90_000"}.items():
        assert old in text
        assert fingerprint.normalised(text.replace(old, new)) == fingerprint.normalised(text)
