#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes a C++ header that holds the bytes of a file.

Usage: embed_file.py FILE HEADER NAMESPACE NAME. The header declares `constexpr std::string_view NAME` in NAMESPACE.
"""
import pathlib
import sys

PER_LINE = 32


def main():
    source, header, namespace, name = sys.argv[1:]
    data = pathlib.Path(source).read_bytes()
    lines = [data[i:i + PER_LINE] for i in range(0, len(data), PER_LINE)]
    text = "\n".join('    "' + "".join(f"\\{byte:03o}" for byte in line) + '"' for line in lines)
    pathlib.Path(header).write_text(f"""// Made by embed_file.py.
#pragma once
#include <string_view>
namespace {namespace} {{
inline constexpr char {name}Bytes[] =
{text};
inline constexpr std::string_view {name}{{{name}Bytes, {len(data)}}};
}}  // namespace {namespace}
""")


if __name__ == "__main__":
    main()
