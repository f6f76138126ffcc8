"""The C code in the builds that people have: CMake, Zephyr, Arduino."""

import json
import platform
import re
import shutil
import subprocess

from c_models import sound
from edgebrain.enhancement import load_enhancer
import numpy as np
import pytest
import soundfile
import yaml

MISSING = [tool for tool in ("cc", "cmake", "make") if not shutil.which(tool)]
needs_cmake = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)
#: Somebody else's project, with the wav example as its program.
CONSUMER = """
cmake_minimum_required(VERSION 3.13)
project(consumer C)
find_package(net REQUIRED)
add_executable(consumer ${SOURCE})
target_link_libraries(consumer PRIVATE net::net)
"""
#: What Zephyr's build has of these names, for one library.
ZEPHYR = """
cmake_minimum_required(VERSION 3.13)
project(zephyr C)
function(zephyr_include_directories)
  set_property(GLOBAL APPEND PROPERTY shared ${ARGV})
endfunction()
function(zephyr_library)
  add_library(module STATIC)
endfunction()
function(zephyr_library_sources)
  target_sources(module PRIVATE ${ARGV})
endfunction()
function(zephyr_library_include_directories)
  target_include_directories(module PRIVATE ${ARGV})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(module PRIVATE ${ARGV})
endfunction()
add_subdirectory(${MODULE} module)
if(TARGET module)
  get_property(shared GLOBAL PROPERTY shared)
  add_executable(app ${MODULE}/../examples/enhance_wav.c)
  target_include_directories(app PRIVATE ${shared})
  target_include_directories(module PRIVATE ${shared})
  target_link_libraries(app PRIVATE module m)
endif()
"""


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        **options,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def configure(source, target, *settings):
    run("cmake", "-S", source, "-B", target, *(f"-D{s}" for s in settings))
    run("cmake", "--build", target)


@pytest.fixture(scope="module")
def made(generated, tmp_path_factory):
    """Return the folder, a noisy wav, and what the Makefile's program gives."""
    _, folder = generated("tcnn", "int8")
    scratch = tmp_path_factory.mktemp("projects")
    soundfile.write(scratch / "noisy.wav", sound(9000), 16000)
    return (
        folder,
        scratch / "noisy.wav",
        enhanced(folder / "enhance_wav", scratch),
    )


def enhanced(program, scratch):
    run(program, scratch / "noisy.wav", scratch / "out.wav")
    return (scratch / "out.wav").read_bytes()


@needs_cmake
@pytest.mark.parametrize("shared", ["OFF", "ON"])
def test_cmake_installs_a_package_that_is_found(shared, made, tmp_path):
    folder, noisy, want = made
    prefix = tmp_path / "prefix"
    configure(
        folder,
        tmp_path / "build",
        f"BUILD_SHARED_LIBS={shared}",
        f"CMAKE_INSTALL_PREFIX={prefix}",
        "CMAKE_INSTALL_LIBDIR=lib",
    )
    run("cmake", "--install", tmp_path / "build")
    names = {p.relative_to(prefix).as_posix() for p in prefix.rglob("*.*")}
    assert "include/net.h" in names and "lib/cmake/net/netConfig.cmake" in names
    assert f"lib/libnet.{'so' if shared == 'ON' else 'a'}" in names
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    (consumer / "CMakeLists.txt").write_text(CONSUMER)
    configure(
        consumer,
        consumer / "build",
        f"SOURCE={folder / 'examples' / 'enhance_wav.c'}",
        f"CMAKE_PREFIX_PATH={prefix}",
    )
    assert enhanced(consumer / "build" / "consumer", noisy.parent) == want
    if shared == "ON":
        pcm = soundfile.read(noisy, dtype="float32")[0]
        library = load_enhancer(prefix / "lib" / "libnet.so")
        other = load_enhancer(folder / "libnet.so")
        np.testing.assert_array_equal(library.enhance(pcm), other.enhance(pcm))


@needs_cmake
def test_the_zephyr_module_holds_what_an_application_needs(made, tmp_path):
    """Its files by Zephyr's rules, and its build with Zephyr's functions."""
    folder, noisy, want = made
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert module["name"] == "net"
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    kconfig = (folder / module["build"]["kconfig"]).read_text()
    assert kconfig.startswith("config NET\n\tbool ")
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR)
    place = f"MODULE={folder / 'zephyr'}"
    configure(tmp_path, tmp_path / "off", place)
    assert not (tmp_path / "off" / "app").exists()
    configure(tmp_path, tmp_path / "on", place, "CONFIG_NET=y")
    assert enhanced(tmp_path / "on" / "app", noisy.parent) == want


def test_the_arduino_library_is_laid_out_by_the_rules(made, tmp_path):
    folder, _, _ = made
    lines = (folder / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    needed = "name version author maintainer sentence paragraph category url"
    assert set(needed.split()) <= set(properties)
    assert properties["includes"] == "net.h"
    description = json.loads((folder / "library.json").read_text())
    assert description["version"] == properties["version"]
    assert (folder / description["build"]["srcDir"] / "net.h").is_file()
    sources = {p.name for p in folder.glob("runtime/*.[ch]")}
    sources |= {"net.c", "net.h"}
    assert {p.name for p in folder.glob("src/*")} == sources
    if not shutil.which("g++"):
        return
    # What a sketch has of a board.
    (tmp_path / "Arduino.h").write_text(
        "struct Port { void begin(long); void println(unsigned long); };\n"
        "extern Port Serial;\n"
        "unsigned long micros();\nvoid delay(unsigned long);\n"
    )
    command = ["g++", "-fsyntax-only", "-Wall", "-Werror", "-x", "c++"]
    command += [f"-I{folder}/src", "-include", tmp_path / "Arduino.h"]
    run(*command, folder / "examples" / "Hop" / "Hop.ino")


def fused(source, folder, *flags):
    """Return how many products an object fuses with a sum."""
    compiler = ["gcc", "-O3", "-mfma", "-mavx2", *flags]
    run(*compiler, "-c", source, "-o", folder / "object.o")
    text = run("objdump", "-d", folder / "object.o")
    return len(re.findall(r"\tvfn?m", text))


@pytest.mark.skipif(
    not (shutil.which("gcc") and platform.machine() == "x86_64"),
    reason="needs gcc for x86-64",
)
def test_the_arduino_library_keeps_the_bits_without_flags(made, tmp_path):
    """It fuses what the Makefile's flags do: what fmaf says. Else more."""
    folder, _, _ = made
    paths = [f"-I{folder}", f"-I{folder / 'runtime'}"]
    exact = ["-std=c99", "-ffp-contract=off", "-fno-tree-loop-vectorize"]
    bare_total = 0
    for source in [folder / "net.c", *folder.glob("runtime/*.c")]:
        wanted = fused(source, tmp_path, *exact, *paths)
        arduino = folder / "src" / source.name
        got = fused(arduino, tmp_path, "-std=gnu11", f"-I{folder / 'src'}")
        assert got == wanted, source.name
        bare = fused(source, tmp_path, "-std=gnu11", *paths)
        bare_total += bare - wanted
    assert bare_total > 50
