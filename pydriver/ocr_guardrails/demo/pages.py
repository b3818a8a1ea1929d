"""Pages to read: drawn by the demo itself, or files of the user's own.

Everything drawn comes from the seed, in Pillow's built-in font, so that the same seed
gives the same bytes on every machine. The words that were drawn are the truth that
the results are later compared with.
"""

from __future__ import annotations

import hashlib
import io
import mimetypes
import random
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont

# As small as the text allows, and square: engines enlarge the shorter side, so that a
# wide page would cost more time to read, and the demo has a minute.
WIDTH, HEIGHT = 480, 480
DPI = 200

# Scanners name their files all alike. That is why a file name proves nothing, and why
# two workers meet in one temporary file.
SHARED_NAMES = ("scan.png", "scan.pdf", "IMG_0001.png")

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pdf"}
)


def _listed(names: str, between: str | None = None) -> tuple[str, ...]:
    return tuple(names.split(between))


_FIRST = _listed(
    "Amara Bertil Celine Dagmar Emilio Fatima Gustav Hannah Ibrahim Johanna Kerstin "
    "Lorenzo Mathilda Nikolai Ottilie Philippa Quentin Rosalind Sebastian Theodora "
    "Ulrich Valentina Wilhelm Xenia Yvonne Zacharias"
)
_LAST = _listed(
    "Abernathy Bergstrom Castellano Drummond Eriksen Fairbanks Grimaldi Hawthorne "
    "Ingersoll Jablonski Kowalczyk Lindqvist Montague Novotny Oppenheim Pemberton "
    "Quarles Rasmussen Szymanski Thornbury Underhill Vandermeer Whitcombe Yamamoto"
)
_TOWN = _listed(
    "Aalborg Bristol Coimbra Dortmund Edinburgh Florence Groningen Helsinki Innsbruck "
    "Jerez Krakow Leipzig Maastricht Nantes Odense Palermo Rotterdam Salzburg Tallinn "
    "Uppsala Valencia Wroclaw Zagreb"
)
_TRADE = _listed(
    "Bakery Carpentry Dental Electric Foundry Gardens Hosiery Joinery Logistics "
    "Masonry Nursery Optics Printing Roofing Textiles Veterinary Windows"
)
_GOODS = _listed(
    "copper valves|oak boards|garden hoses|steel brackets|linen aprons|glass jars|"
    "bicycle tyres|desk lamps|wool blankets|paper towels|brass hinges|water pumps|"
    "ceramic tiles|rubber seals|pine shelves|safety boots|cable drums|paint rollers",
    "|",
)
_MATTER = _listed(
    "the leaking roof|your reserved parking space|our summer opening hours|"
    "the delayed shipment|a broken lift|the school excursion|your library card|"
    "the noise at night|a lost umbrella|the heating contract|our choir rehearsal|"
    "the vaccination of your dog|a damaged fence|the annual meeting",
    "|",
)
_MONTH = _listed(
    "January February March April May June July August September October November "
    "December"
)
_FOLDER = _listed("front-desk mailroom branch-north branch-south accounts warehouse")


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of the demo, and what a person reads on it.

    ``truth`` is None where nobody has drawn the file: it is then read once, alone,
    before anything is made to go wrong.
    """

    number: int
    path: Path
    label: str
    sha256: str
    size: int
    mime_type: str
    truth: str | None

    @property
    def filename(self) -> str:
        """The bare file name: several samples share one."""
        return self.path.name


def draw_text(rng: random.Random, number: int) -> tuple[str, ...]:
    """The lines of an invoice, a letter or a delivery note."""
    name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
    town, firm = rng.choice(_TOWN), f"{rng.choice(_LAST)} {rng.choice(_TRADE)}"
    date = f"{rng.randint(1, 28)} {rng.choice(_MONTH)} {rng.randint(2019, 2026)}"
    goods = rng.choice(_GOODS)
    if number % 3 == 0:
        return (
            f"{firm}, {town}",
            f"INVOICE {rng.randint(10000, 99999)} of {date}",
            f"Sold to {name}",
            f"{rng.randint(2, 95)} {goods} at {_amount(rng, 11, 99)}",
            f"Total {_amount(rng, 1000, 9999)} EUR, due in {rng.randint(10, 60)} days",
        )
    if number % 3 == 1:
        return (
            f"{town}, {date}",
            f"Dear {name},",
            f"I write to you about {rng.choice(_MATTER)}.",
            f"File {rng.randint(1000, 9999)} was given to {firm}.",
            f"{rng.choice(_FIRST)} {rng.choice(_LAST)}, room {rng.randint(100, 899)}",
        )
    return (
        f"DELIVERY NOTE {rng.randint(100000, 999999)}",
        f"From {firm} in {town}",
        f"For {name}, gate {rng.randint(1, 40)}",
        f"{rng.randint(1, 48)} crates of {goods}",
        f"Received on {date}, lorry {rng.randint(1000, 9999)}",
    )


def _amount(rng: random.Random, least: int, most: int) -> str:
    return f"{rng.randint(least, most)}.{rng.randint(10, 99)}"


def draw_page(lines: tuple[str, ...], rng: random.Random) -> Image.Image:
    """The lines as a scanner sees them: a little askew, and with noise."""
    page = Image.new("L", (WIDTH, HEIGHT), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=20)
    for row, line in enumerate(lines):
        pen.text((26, 70 + row * 76), line, font=font, fill=rng.randint(10, 60))
    page = page.rotate(
        rng.uniform(-1.2, 1.2), resample=Image.Resampling.BICUBIC, fillcolor=255
    )
    grain = Image.frombytes("L", page.size, rng.randbytes(WIDTH * HEIGHT))
    return ImageChops.subtract(page, grain.point([value // 8 for value in range(256)]))


def encode_page(page: Image.Image, suffix: str) -> bytes:
    """The page as the bytes of a .png or .pdf file."""
    out = io.BytesIO()
    if suffix == ".pdf":
        # Without dates of our own the bytes would differ from second to second.
        epoch = time.gmtime(0)
        page.convert("RGB").save(
            out, "PDF", resolution=DPI, creationDate=epoch, modDate=epoch
        )
    else:
        page.save(out, "PNG", compress_level=1)
    return out.getvalue()


def draw_samples(folder: Path, seed: int, count: int) -> list[Sample]:
    """Draw ``count`` different pages into ``folder``; the same ones for one seed."""
    rng = random.Random(f"pages {seed}")  # noqa: S311 - repeatable, not secret
    samples: list[Sample] = []
    for number in range(count):
        # Every second page has a name that others have too; the folder tells them
        # apart, as it does with scanners that make one folder per batch.
        name = (
            SHARED_NAMES[number // 2 % len(SHARED_NAMES)]
            if number % 2
            else f"document-{rng.randint(10000, 99999)}.png"
        )
        label = f"{rng.choice(_FOLDER)}/{number + 1:03d}/{name}"
        lines = draw_text(rng, number)
        content = encode_page(draw_page(lines, rng), Path(name).suffix)
        path = folder / label
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        samples.append(_sample(number, path, label, content, "\n".join(lines)))
    return samples


def find_samples(folder: Path, count: int) -> list[Sample]:
    """The first ``count`` images and PDFs under ``folder``, in order of their paths.

    A file whose bytes have been seen already is left out: one text on both of them
    would be right.
    """
    samples: list[Sample] = []
    seen: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if len(samples) == count:
            break
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        content = path.read_bytes()
        sample = _sample(
            len(samples),
            path.resolve(),
            str(path.relative_to(folder)),
            content,
            None,
        )
        if content and sample.sha256 not in seen:
            seen.add(sample.sha256)
            samples.append(sample)
    return samples


def _sample(
    number: int, path: Path, label: str, content: bytes, truth: str | None
) -> Sample:
    return Sample(
        number=number,
        path=path,
        label=label,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        mime_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        truth=truth,
    )
