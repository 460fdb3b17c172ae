"""pip install ./train/python: the Makefile builds the module, here it is put in its place."""
import os
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Make(build_ext):
    def build_extension(self, extension):
        target = os.path.abspath(self.get_ext_fullpath(extension.name))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.check_call(["make", "-C", ROOT, "python", f"PYTHON={sys.executable}", f"MODULE={target}"])


setup(ext_modules=[Extension("patchcl._patchcl", [])], cmdclass={"build_ext": Make})
