"""The npm AWS SDK v3 clients, unmodified (versions in node/package.json)."""
import pathlib
import subprocess

import pytest

NODE = pathlib.Path(__file__).parent / "node"


@pytest.mark.skipif(not (NODE / "node_modules").is_dir(), reason="npm packages are not installed: dev/deps --test")
@pytest.mark.parametrize("script", ["s3.mjs", "lambda.mjs", "lambda_versions.mjs"])
def test_npm_sdk(wick, script):
    done = subprocess.run(["node", NODE / script], env=wick.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
