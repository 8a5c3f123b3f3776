"""Downloads, from a server within the test: checksum, second mirror, nothing left behind, one clear error."""

import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
from test_datasets_files import idx, images_and_labels, pack_cifar, write_cifar

from tinygrad_lab.datasets import CIFAR10, MNIST
from tinygrad_lab.datasets.download import fetch

pytest.importorskip("pooch")
pytest.importorskip("tqdm")


@pytest.fixture
def server():
    """Serves the byte strings in `files`, cut short where `cut` says so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            asked.append(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.path in cut else content)

        def log_message(self, *args):
            pass

    files, cut, asked = {}, set(), []
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    httpd.files, httpd.cut, httpd.asked = files, cut, asked
    httpd.address = f"http://127.0.0.1:{httpd.server_port}/"
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_fetch_takes_the_first_mirror_that_serves_the_file(server, tmp_path):
    server.files["/b/file"] = b"content"
    mirrors = [server.address + "a/", server.address + "b/"]
    path = fetch("file", tmp_path / "new" / "folder", mirrors, md5(b"content"))
    assert path == tmp_path / "new" / "folder" / "file"
    assert path.read_bytes() == b"content"
    assert server.asked == ["/a/file", "/b/file"]


def test_fetch_refuses_wrong_content_and_leaves_nothing(server, tmp_path):
    server.files["/file"] = b"something else"
    with pytest.raises(RuntimeError, match=r"could not download file to .*\n.*/file: ValueError: .*does not match"):
        fetch("file", tmp_path, [server.address], md5(b"content"))
    assert list(tmp_path.iterdir()) == []


def test_fetch_refuses_a_transfer_cut_short(server, tmp_path):
    server.files["/file"] = b"content" * 1000
    server.cut.add("/file")
    with pytest.raises(RuntimeError, match="could not download file"):
        fetch("file", tmp_path, [server.address], md5(server.files["/file"]))
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_clear_error(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(RuntimeError, match=r"could not download file to .*\n.*ConnectionError: .*refused") as error:
        fetch("file", tmp_path, [server.address], md5(b""))
    assert len(str(error.value).splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_mnist_download(server, tmp_path, monkeypatch):
    images, labels = images_and_labels(5)
    names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    packed = dict(zip(names, (gzip.compress(idx(images)), gzip.compress(idx(labels))), strict=True))
    server.files.update({f"/{name}.gz": content for name, content in packed.items()})
    monkeypatch.setattr(MNIST, "mirrors", [server.address])
    monkeypatch.setattr(MNIST, "md5", {name: md5(content) for name, content in packed.items()})
    np.testing.assert_array_equal(MNIST(tmp_path, download=True).data.numpy(), images)
    assert sorted(p.name for p in (tmp_path / "MNIST" / "raw").iterdir()) == [name + ".gz" for name in names]

    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").unlink()
    server.asked.clear()
    MNIST(tmp_path, download=True)
    MNIST(tmp_path, download=True)
    assert server.asked == ["/train-labels-idx1-ubyte.gz"]  # only what is missing, and only once


def test_cifar_download(server, tmp_path, monkeypatch):
    pack_cifar(write_cifar(tmp_path / "source"), tmp_path / "archive")
    content = (tmp_path / "archive").read_bytes()
    server.files["/cifar-10-binary.tar.gz"] = content
    monkeypatch.setattr(CIFAR10, "mirrors", [server.address])
    monkeypatch.setattr(CIFAR10, "archive_md5", md5(content))
    assert len(CIFAR10(tmp_path / "root", download=True)) == 15
    assert len(CIFAR10(tmp_path / "root", train=False)) == 3
