"""Sheets: rows of pictures with captions, so that a picture says what it shows.

Fonts: Pillow's built-in one, which every machine has.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

BACKGROUND, INK = (255, 255, 255), (30, 30, 30)
MARGIN = 8


def sheet(
  rows: Sequence[Sequence[Image.Image]], *, title: str = '', row_labels: Sequence[str] = (),
  column_labels: Sequence[str] = (), text_size: int = 14,
) -> Image.Image:
  """Lays pictures of one size out in rows.

  Args:
    rows: pictures; rows may be of different lengths.
    title: above everything.
    row_labels: left of each row, one line or several; none, or one per row.
    column_labels: above each column; none, or one per column of the longest row.
    text_size: px.

  Returns:
    The sheet.

  Raises:
    ValueError: no picture, or another number of labels than of rows or columns.
  """
  cells = [cell for row in rows for cell in row]
  if not cells:
    raise ValueError('sheet: no pictures')
  columns = max(map(len, rows))
  if len(row_labels) not in (0, len(rows)) or len(column_labels) not in (0, columns):
    raise ValueError(
      f'sheet: {len(rows)} rows and {columns} columns, but {len(row_labels)} row labels and '
      f'{len(column_labels)} column labels'
    )
  font = ImageFont.load_default(text_size)
  line = text_size + 6
  width, height = max(c.width for c in cells), max(c.height for c in cells)
  left = MARGIN + max((_text_width(font, label) + MARGIN for label in row_labels), default=0)
  title_lines = title.count('\n') + 1 if title else 0
  top = MARGIN + title_lines * line + (line if column_labels else 0)
  picture = Image.new(
    'RGB',
    (
      max(left + columns * (width + MARGIN), _text_width(font, title) + 2 * MARGIN),
      top + len(rows) * (height + MARGIN),
    ),
    BACKGROUND,
  )
  draw = ImageDraw.Draw(picture)
  if title:
    draw.multiline_text((MARGIN, MARGIN), title, fill=INK, font=font)
  for i, label in enumerate(column_labels):
    draw.text((left + i * (width + MARGIN), top - line + 2), label, fill=INK, font=font)
  for i, row in enumerate(rows):
    y = top + i * (height + MARGIN)
    if row_labels:
      draw.multiline_text((MARGIN, y + 4), row_labels[i], fill=INK, font=font)
    for j, cell in enumerate(row):
      picture.paste(cell, (left + j * (width + MARGIN), y))
  return picture


def _text_width(font: ImageFont.FreeTypeFont, text: str) -> int:
  return int(max((font.getlength(part) for part in text.split('\n')), default=0)) + 1
