"""Folders of photographs and videos: what is in them, and which clips they are of.

Frames of one clip are nearly one picture, so a folder is split by clip, never by frame.

The clip of a photograph is its folder and its name without ending, after two steps:

1. Copies and cut-outs go with their original: where `a` and `a_crop` both are in a folder, both are
   `a` (`_`, `-`, `.` or a space follows the shorter name).
2. By the rule `clips` ('number', 'file' or 'folder'):
   - 'number': a number at the end goes, with the mark before it; and a number after a hyphen that
     then stands at the end, which tells shots of one video: `walk_00012`, `walk-1_00030` → `walk`.
   - 'file': nothing goes, for photographs that a camera numbered (`IMG_1234`).
   - 'folder': the folder alone.

These are plain rules and not regular expressions of the user's: those could run for ever. Videos
are named as photographs are, so that `cam01.mp4` and `cam02.mp4` are together. For training files
with the same bytes are one: the later one in order is left out and listed.

A clip's part follows from a hash of its name alone, so that it stays where it is when files are
added (`split`).
"""

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from posejax.data import images, videos
from posejax.data.images import ImageError, Skipped

ClipRule = Literal['number', 'file', 'folder']
_MARKS = '_. -'  # the hyphen last: in a regular expression's brackets it is itself there
# Anchored at the end and each part of one class of letters: linear in the name's length.
_NUMBER = re.compile(rf'[{_MARKS}]?[0-9]+\Z')
_SHOT = re.compile(r'-[0-9]{1,3}\Z')
# What systems put beside photographs, never photographs.
_NOT_OURS = ('.', '__MACOSX', '@eaDir')


class Listing(NamedTuple):
  """What a folder holds, in order of the paths.

  Attributes:
    root: the folder.
    photographs: files with an ending of `images.SUFFIXES`.
    videos: files with an ending of `videos.SUFFIXES`.
    skipped: what was left out and why: folders that cannot be read, and equal files.
  """

  root: pathlib.Path
  photographs: tuple[pathlib.Path, ...]
  videos: tuple[pathlib.Path, ...]
  skipped: tuple[Skipped, ...]


class Shares(NamedTuple):
  """Shares of the clips, together at most 1; the rest is for training."""

  validation: float = 0.1
  test: float = 0.1


class Parts(NamedTuple):
  """Names of clips, sorted."""

  train: tuple[str, ...]
  validation: tuple[str, ...]
  test: tuple[str, ...]


def list_folder(
  folder: str | os.PathLike, keep_copies: bool = False, without: str | os.PathLike | None = None
) -> Listing:
  """Lists a folder and its subfolders. Reads only files that are as long as another one.

  Hidden files and folders are passed over, links to folders are not followed.

  Args:
    folder: the folder.
    keep_copies: whether files with the same bytes are all listed; then none is read.
    without: a folder below it to pass over with all that it holds, such as a program's own output.

  Returns:
    The listing, the same on every machine.

  Raises:
    ImageError: no such folder, one without rights, or neither a photograph nor a video in it.
  """
  root = pathlib.Path(folder)
  # os.path's, for pathlib's raise where a name is too long or a folder above has no rights.
  if not os.path.isdir(root):
    reason = 'is a file, not a folder' if os.path.exists(root) else 'no such folder'
    raise ImageError(root, reason, 'give a folder of photographs or videos')
  skipped = []

  def refuse(error: OSError) -> None:
    path = pathlib.Path(error.filename)
    told = ImageError(path, f'cannot be listed ({error.strerror})', 'check its rights')
    if path == root:
      raise told
    skipped.append(Skipped(path, str(told)))

  found, others = [], set()
  passed = None if without is None else os.path.realpath(without)
  for name, folders, files in os.walk(root, onerror=refuse):
    folders[:] = [
      entry for entry in folders if not entry.startswith(_NOT_OURS)
      and (passed is None or os.path.realpath(os.path.join(name, entry)) != passed)
    ]
    for entry in files:
      path = pathlib.Path(name, entry)
      if entry.startswith(_NOT_OURS):
        continue
      if path.suffix.lower() in (*images.SUFFIXES, *videos.SUFFIXES):
        found.append(path)
      else:
        others.add(path.suffix.lower())
  found.sort(key=lambda path: path.relative_to(root).parts)
  if not found:
    beside = f' (only {", ".join(sorted(others)[:5])})' if any(others) else ''
    raise ImageError(
      root, f'holds no photograph or video{images.printable(beside)}',
      f'give a folder with {" ".join((*images.SUFFIXES, *videos.SUFFIXES))}',
    )
  kept, copies = (found, []) if keep_copies else _without_copies(found)
  return Listing(
    root, tuple(path for path in kept if path.suffix.lower() in images.SUFFIXES),
    tuple(path for path in kept if path.suffix.lower() in videos.SUFFIXES),
    tuple(skipped + copies),
  )


def clip_names(
  paths: Iterable[pathlib.Path], root: pathlib.Path, clips: ClipRule = 'number'
) -> dict[pathlib.Path, str]:
  """The clip of each file; see the module.

  Args:
    paths: all files of the folder: copies are known by the names beside them.
    root: the folder, which the names start from.
    clips: the rule.

  Returns:
    path → clip, such as 'davis/walk'.

  Raises:
    ValueError: no such rule.
  """
  if clips not in ('number', 'file', 'folder'):
    raise ValueError(f"clips must be 'number', 'file' or 'folder', got {clips!r}")
  paths = list(paths)
  # Bare paths, without the ending: one string per file, folder included.
  bare = {path: path.relative_to(root).with_suffix('').as_posix() for path in paths}
  known = set(bare.values())
  names = {}
  for path, name in bare.items():
    if clips == 'folder':
      names[path] = path.relative_to(root).parent.as_posix()
      continue
    name = _original(name, known)
    folder, _, stem = name.rpartition('/')
    if clips == 'number':
      stem = _SHOT.sub('', _NUMBER.sub('', stem))
    # Bare numbers are the frames of their folder.
    names[path] = '/'.join(filter(None, (folder, stem))) or '.'
  return names


def split(clips: Iterable[str], shares: Shares = Shares()) -> Parts:  # noqa: B008 (immutable)
  """Assigns clips to parts by the hash of their names.

  A hash u in [0, 1): test below its share, then validation, then training. A part that is to have
  clips and got none takes the one with the nearest u from the largest part (the first of equals);
  otherwise clips that are added change nothing for those that are there.

  Args:
    clips: names, repeated or not.
    shares: of validation and test.

  Returns:
    The parts, without common clips.

  Raises:
    ValueError: shares that are none, or fewer clips than parts: one line, for users.
  """
  if min(shares) < 0 or not sum(shares) < 1:
    raise ValueError(f'split: shares must be ≥ 0 and together < 1, got {tuple(shares)}')
  places = {clip: _place(clip) for clip in sorted(set(clips))}
  starts = {'test': 0.0, 'validation': shares.test, 'train': shares.test + shares.validation}
  stops = {'test': shares.test, 'validation': starts['train'], 'train': 1.0}
  parts = {
    name: [clip for clip, u in places.items() if start <= u < stops[name]]
    for name, start in starts.items()
  }
  wanted = [name for name, start in starts.items() if stops[name] > start]
  if len(places) < len(wanted):
    raise ValueError(
      f'{len(places)} clips ({", ".join(list(places)[:3])}) cannot be split into '
      f"{', '.join(wanted)}; add clips, or take each file for a clip (clips='file')"
    )
  for name in wanted:
    while not parts[name]:
      largest = max(wanted, key=lambda other: len(parts[other]))
      middle = (starts[name] + stops[name]) / 2
      nearest = min(parts[largest], key=lambda clip: abs(places[clip] - middle))
      parts[largest].remove(nearest)
      parts[name].append(nearest)
  return Parts(**{name: tuple(sorted(members)) for name, members in parts.items()})


def _place(clip: str) -> float:
  """u in [0, 1) of a clip's name; names may hold bytes that are no UTF-8."""
  digest = hashlib.sha256(clip.encode('utf-8', 'surrogateescape')).digest()
  return int.from_bytes(digest[:6], 'big') / 2**48


def _original(name: str, known: set[str]) -> str:
  """The shortest name in the same folder that this one goes on from after a mark, else itself."""
  start = name.rfind('/') + 1
  ends = (place for place, letter in enumerate(name) if place > start and letter in _MARKS)
  return next((name[:end] for end in ends if name[:end] in known), name)


def _without_copies(
  paths: list[pathlib.Path]
) -> tuple[list[pathlib.Path], list[Skipped]]:
  """Leaves out files with the bytes of an earlier one; files that cannot be read stay in."""
  by_size: dict[int, list[pathlib.Path]] = {}
  for path in paths:
    try:
      by_size.setdefault(path.stat().st_size, []).append(path)
    except OSError:
      continue  # whoever reads it says so
  copies = {}
  for size, group in by_size.items():
    first: dict[str, pathlib.Path] = {}
    if not size or size > images.MAX_FILE_BYTES or len(group) < 2:
      continue
    for path in group:
      try:
        digest = hashlib.sha256(images.read_bytes(path)).hexdigest()
      except ImageError:
        continue
      if first.setdefault(digest, path) != path:
        copies[path] = Skipped(path, str(ImageError(
          path, f'has the bytes of {images.printable(str(first[digest]))}', 'one of them is used'
        )))
  return [path for path in paths if path not in copies], list(copies.values())
