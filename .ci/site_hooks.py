"""Pages link to files outside docs/, as they do on a code host: the site gets copies of these."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)\)")


def on_files(files, config):
    named = {match for page in files.documentation_pages() for match in OUTSIDE.findall(page.content_string)}
    for name in sorted(named):
        if not (ROOT / name).is_file():
            raise FileNotFoundError(f"docs/ links to {name}, which is no file")
        if files.get_file_from_path(name) is None:
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown, page, config, files):
    return OUTSIDE.sub(lambda match: f"]({match[1]})", markdown)
