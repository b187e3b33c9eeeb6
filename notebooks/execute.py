"""Execute notebooks on the kept rows and store their outputs: python notebooks/execute.py [NAME].

Texts are stored as they are printed, figures as PNG.
"""

import base64
import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import PIL.Image
from nbclient import NotebookClient

HERE = Path(__file__).parent
KEPT = ("image/png", "text/plain")


@contextlib.contextmanager
def kernel() -> Iterator[NotebookClient]:
    """A client of one kernel, for several notebooks one after another."""
    client = NotebookClient(
        nbformat.v4.new_notebook(), timeout=600, resources={"metadata": {"path": str(HERE)}}
    )
    with client.setup_kernel():
        yield client


def executed(path: Path, client: NotebookClient) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, and without what differs from one execution to the next.

    Args:
        path: of the notebook.
        client: of a kernel, whose names are cleared first; its modules stay imported.
    """
    book = client.nb = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client.execute(cleanup_kc=False)
    del book.cells[0]
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = _stored(cell.outputs)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return book


def _stored(outputs: list[Any]) -> list[Any]:
    """Texts and pictures; what was printed in several pieces is one text."""
    stored: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            raise ValueError(f"a cell warns: {output.text}")
        if output.output_type == "stream":
            if stored and stored[-1].output_type == "stream":
                stored[-1].text += output.text
            else:
                stored.append(output)
            continue
        data = {kind: output.data[kind] for kind in KEPT if kind in output.data}
        if "image/png" in data:
            data["image/png"] = _fewer_colors(data["image/png"])
        stored.append(nbformat.v4.new_output("display_data", data=data))
    return stored


def _fewer_colors(encoded: str) -> str:
    """A picture in 64 colors, a third of its size."""
    small = io.BytesIO()
    with PIL.Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        picture.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:] or [path.stem for path in sorted(HERE.glob("*.ipynb"))]:
        with kernel() as client:
            nbformat.write(executed(HERE / f"{name}.ipynb", client), HERE / f"{name}.ipynb")
        print(name)
