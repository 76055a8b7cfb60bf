"""Builds the wheel (PEP 517): makes libunlearn.so and packs it with the package.

It works within the source tree only, `pip install ./py`, since the library is built from there. MAKEFLAGS and CC reach make."""
import base64
import hashlib
import os
import re
import subprocess
import sysconfig
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NAME, REQUIRES = "unlearn_lm", "numpy>=1.22"


def version():
    return re.search(r'UNLEARN_VERSION "(.+)"', (ROOT / "src/base/version.h").read_text()).group(1)


def metadata():
    return (f"Metadata-Version: 2.1\nName: unlearn-lm\nVersion: {version()}\n"
            "Summary: Unlearning, evaluation and inference of language models, on libunlearn\n"
            f"License: MIT\nRequires-Python: >=3.9\nRequires-Dist: {REQUIRES}\n"
            "Description-Content-Type: text/markdown\n\n" + (ROOT / "doc/python.md").read_text())


def tag():
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def built_library():
    """The library's file; UNLEARN_LIBRARY names one that is built already."""
    given = os.environ.get("UNLEARN_LIBRARY")
    if given:
        return Path(given)
    if not (ROOT / "Makefile").exists():
        raise SystemExit("unlearn-lm is built within its source tree: pip install ./py")
    path = "build/release/libunlearn.so"
    subprocess.run(["make", "-s", f"-j{os.cpu_count() or 1}", path], cwd=ROOT, check=True)
    return ROOT / path


def files():
    info = f"{NAME}-{version()}.dist-info"
    for path in sorted((HERE / NAME).glob("*.py")):
        yield f"{NAME}/{path.name}", path.read_bytes()
    yield f"{NAME}/libunlearn.so", built_library().read_bytes()
    yield f"{info}/METADATA", metadata().encode()
    yield f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: unlearn-lm\nRoot-Is-Purelib: false\nTag: {tag()}\n".encode()
    yield f"{info}/LICENSE", (ROOT / "LICENSE").read_bytes()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = f"{NAME}-{version()}-{tag()}.whl"
    record = []
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files():
            wheel.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}")
        path = f"{NAME}-{version()}.dist-info/RECORD"
        wheel.writestr(path, "\n".join(record + [f"{path},,"]) + "\n")
    return name


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit("unlearn-lm has no source distribution: pip install ./py in the source tree of unlearn")
