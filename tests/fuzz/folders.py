"""Small folders of whole files, from their contents."""

import json


def write_files(root, **files):
    """``{'a/b.json': content}``; JSON for what is neither text nor bytes."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
