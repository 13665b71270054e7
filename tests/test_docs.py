"""The documents are a site, and their links lead somewhere."""

import importlib.util
import os
import re
import shutil

import pytest
from tiny import REPO

# Sphinx has a folder of its own, see requirements/docs.txt.
FOLDER = os.environ.get('GML_TEST_DOCS', '')
PAGES = [*(REPO / 'docs').glob('*.md'), *REPO.glob('*.md')]
FORBIDDEN = r'\bnone of\b|\bwhat is no\b|\bstands\b|\btold\b'


def anchors(path):
    """A forge's anchors of the headings of a page."""
    text = re.sub(
        r'```.*?```', '', path.read_text(encoding='utf-8'), flags=re.S
    )
    return {
        re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
        for heading in re.findall(r'^#+ (.*)$', text, re.M)
    }


@pytest.mark.slow(25)
def test_the_site_is_built_without_a_warning(run_warm, tmp_path):
    if not FOLDER and not importlib.util.find_spec('sphinx'):
        pytest.skip('no Sphinx: neither installed nor in GML_TEST_DOCS')
    docs = tmp_path / 'docs'
    leave = shutil.ignore_patterns('_build', 'api')
    shutil.copytree(REPO / 'docs', docs, ignore=leave)
    site = tmp_path / 'site'
    done = run_warm(
        *('-m', 'sphinx', '-W', '--keep-going', '-q', docs, site), path=FOLDER
    )
    assert done.returncode == 0, done.stderr
    page = (site / 'api/models.html').read_text(encoding='utf-8')
    assert 'Motion Consistency Module' in page
    text = ''.join(
        path.read_text(encoding='utf-8') for path in site.rglob('*.html')
    )
    loaded = re.findall(
        r'<(?:script|link|img)[^>]+?(?:src|href)="(.*?)"', text
    )
    assert loaded
    assert not [name for name in loaded if re.match('https?:|//', name)]


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page):
    text = page.read_text(encoding='utf-8')
    for link in re.findall(r'\]\(([^)\s]+)\)', text):
        if link.startswith('http'):
            continue
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_in_the_site():
    index = (REPO / 'docs/index.md').read_text(encoding='utf-8')
    listed = {
        line
        for block in re.findall(r'```{toctree}\n(.*?)```', index, re.S)
        for line in block.split()
    }
    pages = {path.stem for path in (REPO / 'docs').glob('*.md')} - {'index'}
    assert pages <= listed


def test_the_readme_is_short_and_shows_the_method_and_a_verdict():
    text = (REPO / 'README.md').read_text(encoding='utf-8')
    assert len(text.splitlines()) < 200
    pictures = re.findall(r'!\[[^]]+\]\((.+?)\)', text)
    assert pictures == ['docs/images/method.png', 'docs/images/verdict.png']


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_a_page_names_commands_and_files_that_exist(page):
    from gml_mmaction.cli import COMMANDS

    text = page.read_text(encoding='utf-8')
    used = re.findall(r'(?:^|`)gml ([a-z][\w-]*)', text, re.M)
    assert {name for name in used if name != 'COMMAND'} <= {*COMMANDS}
    if page.name == 'CHANGELOG.md':  # which names what once was
        return
    shown = re.findall(r'^`(\S+)`:$', text, re.M)  # files yet to be made
    for name in re.findall(
        r'`((?:gml_mmaction|configs|tests|tools|docs)/[\w/.-]+)`', text
    ):
        assert (REPO / name).exists() or name in shown, name
    assert not re.search(FORBIDDEN, text)


def test_the_pictures_that_a_script_draws_have_it_beside_them():
    for name in ('method', 'verdict'):
        assert (REPO / f'docs/images/{name}.py').is_file()
