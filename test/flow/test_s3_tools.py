"""S3 through the tools that people have: aws s3, rclone, s3cmd, curl; unmodified. A tool that is missing is an error:
dev/deps installs them all."""
import configparser
import os
import socket
import subprocess
import uuid

import pytest

MIB = 1 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with names and sizes that hurt."""
    root = tmp_path_factory.mktemp("tree")
    for name, size in (("plain.txt", 100), ("empty", 0), ("sp ace/plus+&.bin", 70000), ("ünï/日本.dat", 5000),
                       ("deep/er/file", 1), ("big.bin", 17 * MIB)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return root


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def run(*args, env, **kw):
    done = subprocess.run([str(a) for a in args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, **kw)
    assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class TestAws:
    @pytest.fixture
    def aws(self, wick, tmp_path):
        env = {**wick.env, "HOME": str(tmp_path)}
        return lambda *args: run("aws", "--endpoint-url", wick.url, *args, env=env)

    def test_tree(self, wick, aws, tree, tmp_path):
        bucket = wick.bucket()
        aws("s3", "sync", tree, f"s3://{bucket}/t")
        assert len(aws("s3", "ls", "--recursive", f"s3://{bucket}/").splitlines()) == len(contents(tree))
        assert "PRE t/" in aws("s3", "ls", f"s3://{bucket}/")
        assert aws("s3", "sync", tree, f"s3://{bucket}/t") == "", "nothing has changed"
        aws("s3", "sync", f"s3://{bucket}/t", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(tree)
        aws("s3", "mv", f"s3://{bucket}/t/big.bin", f"s3://{bucket}/moved.bin")
        aws("s3", "cp", f"s3://{bucket}/moved.bin", tmp_path / "moved.bin")
        assert (tmp_path / "moved.bin").read_bytes() == (tree / "big.bin").read_bytes()
        aws("s3", "rm", "--recursive", f"s3://{bucket}/")
        aws("s3", "rb", f"s3://{bucket}")

    def test_api(self, wick, aws, tmp_path):
        bucket = "made-by-aws-" + uuid.uuid4().hex[:8]
        aws("s3", "mb", f"s3://{bucket}")
        (tmp_path / "f").write_bytes(b"x" * 1000)
        aws("s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", tmp_path / "f",
            "--checksum-algorithm", "SHA256", "--metadata", "a=1")
        assert '"ChecksumSHA256"' in aws("s3api", "head-object", "--bucket", bucket, "--key", "k",
                                         "--checksum-mode", "ENABLED")
        aws("s3api", "wait", "object-exists", "--bucket", bucket, "--key", "k")
        url = aws("s3", "presign", f"s3://{bucket}/k", "--region", "us-east-1").strip()
        assert url.startswith(wick.url)
        aws("s3", "rb", "--force", f"s3://{bucket}")


class TestRclone:
    @pytest.fixture
    def rclone(self, wick, tmp_path):
        access, secret = wick.keys
        conf = tmp_path / "rclone.conf"
        conf.write_text(f"[w]\ntype = s3\nprovider = Other\naccess_key_id = {access}\nsecret_access_key = {secret}\n"
                        f"endpoint = {wick.url}\nregion = us-east-1\n")
        env = {**wick.env, "HOME": str(tmp_path)}
        return lambda *args: run("rclone", "--config", conf, "--retries", "1", "--low-level-retries", "1", *args,
                                 env=env)

    def test_tree(self, wick, rclone, tree, tmp_path):
        bucket = wick.bucket()
        rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", tree, f"w:{bucket}/t")
        rclone("check", tree, f"w:{bucket}/t")
        rclone("check", "--download", tree, f"w:{bucket}/t")
        assert len(rclone("lsf", "-R", "--files-only", f"w:{bucket}").splitlines()) == len(contents(tree))
        rclone("copy", f"w:{bucket}/t", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(tree)
        rclone("copyto", "--s3-copy-cutoff", "5M", "--s3-chunk-size", "5M", f"w:{bucket}/t/big.bin",
               f"w:{bucket}/by parts.bin")
        assert rclone("cat", "--offset", "100", "--count", "0", f"w:{bucket}/by parts.bin") == ""
        rclone("moveto", f"w:{bucket}/t/sp ace/plus+&.bin", f"w:{bucket}/moved +&")
        rclone("purge", f"w:{bucket}")

    def test_made_bucket(self, rclone):
        bucket = "made-by-rclone-" + uuid.uuid4().hex[:8]
        rclone("mkdir", f"w:{bucket}")
        assert bucket in rclone("lsd", "w:")
        rclone("rmdir", f"w:{bucket}")


class TestS3cmd:
    @pytest.fixture(params=["path", "virtual"])
    def s3cmd(self, request, wick, tmp_path):
        access, secret = wick.keys
        host = wick.url.split("//")[1]
        port = host.split(":")[1]
        conf = configparser.ConfigParser(interpolation=None)
        conf["default"] = {"access_key": access, "secret_key": secret, "use_https": "False",
                           "host_base": host, "host_bucket": host, "bucket_location": "us-east-1",
                           "multipart_chunk_size_mb": "5"}
        if request.param == "virtual":
            conf["default"].update(host_base=f"s3.localhost:{port}", host_bucket=f"%(bucket)s.s3.localhost:{port}")
        path = tmp_path / "s3cfg"
        with open(path, "w") as f:
            conf.write(f)
        env = {**wick.env, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        return lambda *args: run("s3cmd", "-c", path, "--no-progress", *args, env=env)

    def test_tree(self, wick, s3cmd, tree, tmp_path):
        if "virtual" in os.environ.get("PYTEST_CURRENT_TEST", "") and not resolves("x.s3.localhost"):
            pytest.skip("this machine's resolver does not know *.localhost (systemd's nss-myhostname does)")
        bucket = wick.bucket()
        s3cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
        assert len(s3cmd("ls", "-r", f"s3://{bucket}/").splitlines()) == len(contents(tree))
        (tmp_path / "back").mkdir()
        s3cmd("sync", f"s3://{bucket}/t/", f"{tmp_path}/back/")
        assert contents(tmp_path / "back") == contents(tree)
        s3cmd("cp", f"s3://{bucket}/t/plain.txt", f"s3://{bucket}/copy.txt")
        assert "File size: 100" in s3cmd("info", f"s3://{bucket}/copy.txt")
        assert s3cmd("info", f"s3://{bucket}")
        s3cmd("del", "-r", "-f", f"s3://{bucket}/")
        s3cmd("rb", f"s3://{bucket}")


def resolves(name):
    try:
        socket.getaddrinfo(name, 80)
        return True
    except OSError:
        return False


def test_curl_signs(wick, tmp_path):
    bucket = wick.bucket()
    access, secret = wick.keys
    sign = ["curl", "-sS", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{access}:{secret}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    (tmp_path / "f").write_bytes(b"by curl")
    run(*sign, "-T", tmp_path / "f", f"{wick.url}/{bucket}/curl", env=wick.env)
    assert run(*sign, f"{wick.url}/{bucket}/curl", env=wick.env) == "by curl"
