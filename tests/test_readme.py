"""The README's examples run, and what it names is there."""

import doctest
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def test_examples(monkeypatch):
  monkeypatch.chdir(ROOT)
  blocks = re.findall(r'^```python\n(.*?)^```', README, re.MULTILINE | re.DOTALL)
  examples = doctest.DocTestParser().get_doctest(
    '\n'.join(blocks), {}, 'README.md', 'README.md', 0
  )
  assert len(examples.examples) > 20
  report = []
  runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
  runner.run(examples, out=report.append)
  assert runner.summarize(verbose=False).failed == 0, ''.join(report)


def test_pictures_are_there_and_small():
  pictures = [ROOT / path for path in re.findall(r'!\[[^]]*\]\(([^)]+)\)', README)]
  assert pictures and all(path.is_file() for path in pictures)
  assert sum(path.stat().st_size for path in pictures) <= 480_000


def test_commands_are_there():
  for path in re.findall(r'bash (launch/\S+\.sh)', README):
    assert (ROOT / path).is_file()
  for module in re.findall(r'python -m (posejax\.\w+)', README):
    assert (ROOT / (module.replace('.', '/') + '.py')).is_file()


def test_nothing_is_left_to_fill_in():
  prose = re.sub(r'```.*?```', '', README, flags=re.DOTALL)
  assert not re.findall(r'^[A-Z]{5,}$', prose, re.MULTILINE) and 'TODO' not in README
