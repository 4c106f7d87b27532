#!/usr/bin/env python3
"""Makes the files of the table of real formats, with tools that many people use, and lists them.

Run in a virtual environment on Debian:

    pip install pillow pillow-heif imageio-ffmpeg numpy python-docx openpyxl XlsxWriter python-pptx xlwt odfpy \
        ebooklib reportlab pypdf py7zr fonttools brotli pydicom h5py nbformat zstandard
    apt-get install ghostscript zip zstd lz4 sqlite3 binutils dpkg gnupg openssl git
    python make.py FOLDER

Each line of FOLDER/list.tsv: file, the tool and its version, and the types that published tables give for it.
Files over 16 KiB are cut there: no check looks further than 8 KiB.
"""
import bz2, csv, gzip, io, json, lzma, mimetypes, os, pathlib, pickle, shutil, sqlite3, struct, subprocess, sys, tempfile, zipfile
from importlib.metadata import version

BYTES_MAX = 16 * 1024
OUT = pathlib.Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
TMP = pathlib.Path(tempfile.mkdtemp(prefix="samples-"))
MADE = {}


def keep(name, tool, data):
    if len(data) == 0 and not name.startswith("empty"):
        raise ValueError(f"{name} is empty")
    (OUT / name).write_bytes(data[:BYTES_MAX])
    MADE[name] = tool


def attempt(what):
    try:
        what()
    except Exception as error:  # a tool that lacks one format must not keep the others back
        print(f"not made: {what.__name__}: {error!r}"[:300], file=sys.stderr)


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, cwd=TMP, **more).stdout


def first_line(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout.strip().splitlines()[0]


def pictures():
    import numpy, pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    tool, heif = f"Pillow {version('pillow')}", f"pillow-heif {version('pillow_heif')}"
    pixels = numpy.add.outer(numpy.arange(24), numpy.arange(24))
    im = Image.fromarray(numpy.stack([pixels * 5, pixels * 3, 255 - pixels * 4], axis=2).astype("uint8"))
    more = {"save_all": True, "append_images": [im.rotate(90)]}
    table = {
        "plain.jpg": {}, "progressive.jpeg": {"progressive": True}, "plain.jfif": {"format": "JPEG"}, "plain.png": {},
        "animated.apng": {**more, "format": "PNG"}, "plain.gif": {}, "animated.gif": {**more, "loop": 0}, "plain.webp": {},
        "lossless.webp": {"lossless": True}, "animated.webp": more, "plain.bmp": {}, "plain.dib": {}, "plain.tiff": {}, "plain.tif": {},
        "big.tiff": {"big_tiff": True}, "plain.ico": {}, "plain.jp2": {}, "plain.j2k": {}, "plain.tga": {}, "plain.eps": {},
        "plain.pcx": {}, "plain.ppm": {}, "plain.dds": {}, "plain.icns": {}, "plain.avif": {}, "sequence.avif": more, "pair.mpo": more,
        "plain.sgi": {}, "plain.im": {}, "plain.qoi": {}, "pillow.pdf": {},
    }
    for name, how in table.items():
        def one(name=name, how=how):
            to = io.BytesIO()
            kind = how.pop("format", None) or Image.registered_extensions()[os.path.splitext(name)[1]]
            im.save(to, format=kind, **how)
            keep(name, tool, to.getvalue())
        attempt(one)
    for name, how in {"plain.heic": {}, "sequence.heic": more, "plain.heif": {}, "plain.hif": {}}.items():
        def one(name=name, how=how):
            to = io.BytesIO()
            im.save(to, format="HEIF", **how)
            keep(name, heif, to.getvalue())
        attempt(one)
    for name, other in {"cmyk.jpg": im.convert("CMYK"), "palette.png": im.quantize(), "grey.pgm": im.convert("L"), "bits.pbm": im.convert("1"), "bits.xbm": im.convert("1"), "bits.msp": im.convert("1")}.items():
        def one(name=name, other=other):
            other.save(TMP / name)
            keep(name, tool, (TMP / name).read_bytes())
        attempt(one)


def films():
    import imageio_ffmpeg

    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    tool = "ffmpeg " + first_line(ffmpeg, "-version").split()[2] + f" (imageio-ffmpeg {version('imageio_ffmpeg')})"
    sound = ["-f", "lavfi", "-i", "sine=d=0.3:r=22050"]
    film = ["-f", "lavfi", "-i", "testsrc=d=0.2:s=64x64:r=25", *sound]
    sounds = {"id3.mp3": "", "plain.mp3": "-id3v2_version 0 -write_xing 0", "xing.mp3": "-id3v2_version 0", "slow.mp3": "-ar 8000 -id3v2_version 0", "plain.mp2": "", "plain.m4a": "", "book.m4b": "-f ipod", "fragmented.m4a": "-c:a aac -movflags frag_keyframe+empty_moov", "plain.aac": "", "plain.wav": "", "rf64.wav": "-rf64 always", "bext.wav": "-write_bext 1", "plain.w64": "", "plain.aiff": "", "plain.aif": "", "plain.flac": "", "vorbis.ogg": "-c:a libvorbis -ar 44100", "plain.opus": "-ar 48000", "flac.oga": "-c:a flac -f ogg", "plain.wma": "-ar 44100", "plain.caf": "", "plain.mka": "", "sound.weba": "-c:a libopus -ar 48000 -f webm", "sound.webm": "-c:a libopus -ar 48000", "plain.ac3": "-ar 44100", "plain.eac3": "-ar 44100", "plain.dts": "-strict -2 -c:a dca -ar 44100", "plain.au": "", "plain.voc": "", "plain.tta": "", "plain.wv": "", "memo.amr": "-ar 8000 -ac 1 -c:a libopencore_amrnb", "sound.mp4": "", "sound.3gp": "-c:a aac"}
    movies = {"plain.mp4": "", "faststart.mp4": "-movflags faststart", "fragmented.mp4": "-movflags frag_keyframe+empty_moov", "plain.mov": "", "plain.m4v": "-f mp4", "ipod.m4v": "-f ipod", "plain.mkv": "", "plain.webm": "-c:v libvpx -c:a libopus -ar 48000", "plain.avi": "-ar 44100", "plain.mpg": "-ar 44100", "plain.mpeg": "-ar 44100", "plain.m2v": "-an", "plain.vob": "-ar 44100", "plain.ts": "-ar 44100", "plain.m2ts": "-ar 44100", "plain.mts": "-ar 44100 -mpegts_m2ts_mode 1 -f mpegts", "plain.wmv": "-ar 44100", "plain.asf": "-ar 44100", "plain.flv": "-ar 44100", "plain.f4v": "-f mp4", "plain.3gp": "-s 176x144 -ar 8000 -ac 1 -c:a aac -c:v mpeg4", "plain.3g2": "-s 176x144 -ar 8000 -ac 1 -c:a aac -c:v mpeg4", "plain.ogv": "-c:v libtheora -c:a libvorbis -ar 44100", "plain.mxf": "-ar 48000", "plain.h264": "-an", "plain.ivf": "-an -c:v libvpx", "plain.mjpeg": "-an -q:v 31", "plain.nut": "-ar 44100", "plain.rm": "-ar 44100", "styp.mp4": "-movflags dash+frag_keyframe+empty_moov+default_base_moof"}
    for made, given in ((sounds, sound), (movies, film)):
        for name, how in made.items():
            def one(name=name, how=how, given=given):
                run(ffmpeg, "-y", "-v", "error", *given, *how.split(), str(TMP / name))
                keep(name, tool, (TMP / name).read_bytes())
            attempt(one)
    (TMP / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhi\n\n")
    for name in ("words.srt", "words.vtt", "words.ass", "words.ssa"):
        def one(name=name):
            run(ffmpeg, "-y", "-v", "error", "-i", str(TMP / "a.srt"), str(TMP / name))
            keep(name, tool, (TMP / name).read_bytes())
        attempt(one)


def documents():
    import docx, nbformat, odf, openpyxl, pptx, pypdf, reportlab, xlsxwriter, xlwt
    from ebooklib import epub
    from odf.opendocument import OpenDocumentChart, OpenDocumentDrawing, OpenDocumentPresentation, OpenDocumentSpreadsheet, OpenDocumentText, OpenDocumentTextMaster
    from reportlab.pdfgen import canvas

    def saved(name, tool, save):
        def one():
            save(str(TMP / name))
            keep(name, tool, (TMP / name).read_bytes())
        attempt(one)

    saved("plain.docx", f"python-docx {version('python-docx')}", docx.Document().save)
    saved("openpyxl.xlsx", f"openpyxl {version('openpyxl')}", openpyxl.Workbook().save)
    for name, how in (("xlsxwriter.xlsx", {}), ("constant.xlsx", {"constant_memory": True})):
        def save(to, how=how):
            w = xlsxwriter.Workbook(to, how)
            w.add_worksheet().write(0, 0, 1)
            w.close()
        saved(name, f"XlsxWriter {version('XlsxWriter')}", save)
    template = openpyxl.Workbook()
    template.template = True
    saved("plain.xltx", f"openpyxl {version('openpyxl')}", template.save)
    saved("plain.pptx", f"python-pptx {version('python-pptx')}", pptx.Presentation().save)
    w = xlwt.Workbook()
    w.add_sheet("a").write(0, 0, 1)
    saved("plain.xls", f"xlwt {version('xlwt')}", w.save)
    for name, kind in (("plain.odt", OpenDocumentText), ("plain.ods", OpenDocumentSpreadsheet), ("plain.odp", OpenDocumentPresentation), ("plain.odg", OpenDocumentDrawing), ("plain.odc", OpenDocumentChart), ("plain.odm", OpenDocumentTextMaster)):
        saved(name, f"odfpy {version('odfpy')}", kind().save)
    b = epub.EpubBook()
    c = epub.EpubHtml(title="c", file_name="c.xhtml", content="<h1>x</h1>")
    b.add_item(c)
    b.spine = ["nav", c]
    b.add_item(epub.EpubNcx())
    b.add_item(epub.EpubNav())
    saved("plain.epub", f"EbookLib {version('EbookLib')}", lambda to: epub.write_epub(to, b))
    c = canvas.Canvas(str(TMP / "reportlab.pdf"))
    c.drawString(9, 9, "x")
    saved("reportlab.pdf", f"ReportLab {version('reportlab')}", lambda to: c.save())
    p = pypdf.PdfWriter()
    p.add_blank_page(72, 72)
    saved("pypdf.pdf", f"pypdf {version('pypdf')}", p.write)
    saved("plain.ipynb", f"nbformat {version('nbformat')}", lambda to: nbformat.write(nbformat.v4.new_notebook(), to))
    gs = "Ghostscript " + first_line("gs", "--version")
    for name, device in (("gs.pdf", "pdfwrite"), ("gs.ps", "ps2write"), ("gs.eps", "eps2write"), ("gs.pxl", "pxlmono"), ("gs.pcl", "pcl3")):
        saved(name, gs, lambda to, device=device: run("gs", "-q", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={device}", "-r30", f"-sOutputFile={to}", str(TMP / "reportlab.pdf")))
    saved("gs.ai", gs, lambda to: shutil.copy(TMP / "gs.pdf", to))


def archives():
    import h5py, numpy, py7zr, pydicom, zstandard

    python = "Python " + ".".join(map(str, sys.version_info[:3]))
    (TMP / "a.txt").write_text("hello\n")

    def zipped(name, *entries, to=None, **how):
        to = to or io.BytesIO()
        with zipfile.ZipFile(to, "w", **how) as z:
            for entry in entries:
                z.writestr(entry, "hi")
        return to

    keep("plain.zip", f"{python} zipfile", zipped("", "a.txt").getvalue())
    keep("none.zip", f"{python} zipfile", zipped("").getvalue())
    keep("stored.jar", f"{python} zipfile", zipped("", "META-INF/MANIFEST.MF", "A.class").getvalue())
    keep("comic.cbz", f"{python} zipfile", zipped("", "1.jpg").getvalue())

    class Pipe(io.RawIOBase):
        parts = []

        def writable(self):
            return True

        def write(self, b):
            self.parts.append(bytes(b))
            return len(b)

    zipped("", "a.txt", to=Pipe())
    keep("streamed.zip", f"{python} zipfile", b"".join(Pipe.parts))
    run("zip", "-q", "cli.zip", "a.txt")
    keep("cli.zip", "Info-ZIP zip 3.0", (TMP / "cli.zip").read_bytes())
    to = io.BytesIO()
    with py7zr.SevenZipFile(to, "w") as f:
        f.writestr(b"hi", "a.txt")
    keep("plain.7z", f"py7zr {version('py7zr')}", to.getvalue())
    tar = "GNU tar " + first_line("tar", "--version").split()[-1]
    for kind in ("ustar", "gnu", "pax", "oldgnu", "v7"):
        run("tar", f"--format={kind}", "-cf", f"{kind}.tar", "a.txt")
        keep(f"{kind}.tar", tar, (TMP / f"{kind}.tar").read_bytes())
    run("tar", "-cf", "none.tar", "--files-from", "/dev/null")
    keep("none.tar", tar, (TMP / "none.tar").read_bytes())
    for flag, ending in (("--gzip", "tar.gz"), ("--gzip", "tgz"), ("--bzip2", "tar.bz2"), ("--xz", "tar.xz"), ("--zstd", "tar.zst"), ("--lzma", "tar.lzma")):
        def one(flag=flag, ending=ending):
            run("tar", flag, "-cf", f"plain.{ending}", "a.txt")
            keep(f"plain.{ending}", tar, (TMP / f"plain.{ending}").read_bytes())
        attempt(one)
    keep("plain.gz", f"{python} gzip", gzip.compress(b"hi"))
    keep("plain.bz2", f"{python} bz2", bz2.compress(b"hi"))
    keep("none.bz2", f"{python} bz2", bz2.compress(b""))
    keep("plain.xz", f"{python} lzma", lzma.compress(b"hi"))
    keep("plain.lzma", f"{python} lzma", lzma.compress(b"hi", format=lzma.FORMAT_ALONE))
    zstd = "zstd " + first_line("zstd", "-q", "--version").split("v")[-1].split(",")[0]
    run("zstd", "-q", "a.txt", "-o", "plain.zst")
    keep("plain.zst", zstd, (TMP / "plain.zst").read_bytes())
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"size"
    keep("skippable.zst", f"python-zstandard {version('zstandard')}", skippable + zstandard.compress(b"hi"))
    run("lz4", "-q", "a.txt", "plain.lz4")
    keep("plain.lz4", "lz4 " + first_line("lz4", "--version").split("v")[-1].split(",")[0], (TMP / "plain.lz4").read_bytes())
    run("ar", "rc", "plain.a", "a.txt")
    keep("plain.a", first_line("ar", "--version"), (TMP / "plain.a").read_bytes())
    (TMP / "deb/DEBIAN").mkdir(parents=True)
    (TMP / "deb/DEBIAN/control").write_text("Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n")
    run("dpkg-deb", "--build", "deb", "plain.deb")
    keep("plain.deb", "dpkg-deb " + first_line("dpkg-deb", "--version").split("version ")[-1].split()[0], (TMP / "plain.deb").read_bytes())
    for name in ("plain.sqlite", "plain.db", "plain.sqlite3"):
        db = sqlite3.connect(TMP / name)
        db.executescript("pragma page_size=512; create table t(a); insert into t values(1);")
        db.commit()
        db.close()
        keep(name, f"SQLite {sqlite3.sqlite_version}", (TMP / name).read_bytes())
    run("git", "init", "-q", "repo")
    run("git", "-C", "repo", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "a")
    run("git", "-C", "repo", "bundle", "create", "-q", "../plain.bundle", "--all")
    git = first_line("git", "--version").replace("git version", "git")
    keep("plain.bundle", git, (TMP / "plain.bundle").read_bytes())
    keep("plain.patch", git, run("git", "-C", "repo", "format-patch", "--root", "--stdout", "--always", "HEAD"))
    with h5py.File(TMP / "plain.h5", "w") as f:
        f["a"] = [1]
    keep("plain.h5", f"h5py {version('h5py')}", (TMP / "plain.h5").read_bytes())
    numpy.save(TMP / "plain.npy", [1])
    numpy.savez(TMP / "plain.npz", [1])
    for name in ("plain.npy", "plain.npz"):
        keep(name, f"NumPy {version('numpy')}", (TMP / name).read_bytes())
    keep("plain.pkl", f"{python} pickle", pickle.dumps([1]))
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    scan = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    scan.PatientName = "a"
    to = io.BytesIO()
    scan.save_as(to)
    keep("plain.dcm", f"pydicom {version('pydicom')}", to.getvalue())
    compiled = TMP / "a.py"
    compiled.write_text("a = 1\n")
    import py_compile
    keep("plain.pyc", f"{python} py_compile", pathlib.Path(py_compile.compile(str(compiled))).read_bytes())


def fonts():
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.t2CharStringPen import T2CharStringPen
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.ttCollection import TTCollection

    tool = f"fontTools {version('fonttools')}"
    def built(is_ttf):
        f = FontBuilder(1000, isTTF=is_ttf)
        f.setupGlyphOrder([".notdef"])
        f.setupCharacterMap({})
        if is_ttf:
            f.setupGlyf({".notdef": TTGlyphPen(None).glyph()})
        else:
            f.setupCFF("A", {}, {".notdef": T2CharStringPen(500, None).getCharString()}, {})
        f.setupHorizontalMetrics({".notdef": (500, 0)})
        f.setupHorizontalHeader(ascent=800, descent=-200)
        f.setupNameTable({"familyName": "A", "styleName": "Regular"})
        f.setupOS2()
        f.setupPost()
        return f.font
    for name, is_ttf, flavor in (("plain.ttf", True, None), ("plain.otf", False, None), ("plain.woff", True, "woff"), ("plain.woff2", True, "woff2")):
        def one(name=name, is_ttf=is_ttf, flavor=flavor):
            font = built(is_ttf)
            font.flavor = flavor
            to = io.BytesIO()
            font.save(to)
            keep(name, tool, to.getvalue())
        attempt(one)
    def collection():
        to = io.BytesIO()
        both = TTCollection()
        both.fonts = [built(True), built(True)]
        both.save(to)
        keep("plain.ttc", tool, to.getvalue())
    attempt(collection)


def keys():
    openssl = " ".join(first_line("openssl", "version").split()[:2])
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "a.key", "-out", "a.pem", "-subj", "/CN=a", "-days", "1")
    run("openssl", "req", "-new", "-key", "a.key", "-out", "a.csr", "-subj", "/CN=a")
    run("openssl", "x509", "-in", "a.pem", "-outform", "DER", "-out", "a.der")
    for name, of in (("plain.pem", "a.pem"), ("plain.crt", "a.pem"), ("plain.cer", "a.der"), ("plain.der", "a.der"), ("plain.csr", "a.csr")):
        keep(name, openssl, (TMP / of).read_bytes())


def words():
    import email.message

    python = "Python " + ".".join(map(str, sys.version_info[:3]))
    rows = io.StringIO()
    csv.writer(rows).writerows([["a", "b"], [1, 2]])
    keep("plain.csv", f"{python} csv", rows.getvalue().encode())
    keep("mark.csv", f"{python} csv", rows.getvalue().encode("utf-8-sig"))
    keep("wide.csv", f"{python} csv", rows.getvalue().encode("utf-16"))
    rows = io.StringIO()
    csv.writer(rows, "excel-tab").writerows([["a", "b"], [1, 2]])
    keep("plain.tsv", f"{python} csv", rows.getvalue().encode())
    keep("wide.txt", python, "hi\n".encode("utf-16"))
    keep("plain.txt", python, b"hello\n")
    keep("empty.txt", python, b"")
    keep("plain.log", f"{python} logging", b"INFO:root:hello\n")
    keep("plain.json", f"{python} json", json.dumps({"html": "<p>"}).encode())
    keep("plain.geojson", f"{python} json", json.dumps({"type": "FeatureCollection", "features": []}).encode())
    keep("plain.jsonl", f"{python} json", b'{"a": 1}\n{"a": 2}\n')
    letter = email.message.EmailMessage()
    letter["From"] = "a@example.org"
    letter.set_content("hi")
    letter.add_alternative("<p>hi", subtype="html")
    keep("plain.eml", f"{python} email", letter.as_bytes())
    run("sqlite3", "plain.db", ".output plain.sql", ".dump")
    keep("plain.sql", "sqlite3 " + first_line("sqlite3", "--version").split()[0], (TMP / "plain.sql").read_bytes())


for make in (pictures, films, documents, archives, fonts, keys, words):
    attempt(make)

GLOBS = {}
for line in open("/usr/share/mime/globs2"):
    if not line.startswith("#"):
        weight, kind, glob = line.split(":")[:3]
        GLOBS.setdefault(glob.strip().lower(), kind)
PACKAGES = {"shared-mime-info": first_line("dpkg-query", "-W", "-f", "${Version}", "shared-mime-info"), "media-types": first_line("dpkg-query", "-W", "-f", "${Version}", "media-types")}
DEBIAN = mimetypes.MimeTypes(("/etc/mime.types",))
with open(OUT / "list.tsv", "w") as to:
    to.write("# file\tmade by\tdeclared as, and by what\n")
    to.write(f"# freedesktop: shared-mime-info {PACKAGES['shared-mime-info']}, which Chromium and Firefox ask on Linux; debian: media-types {PACKAGES['media-types']}\n")
    for name in sorted(MADE):
        ending = "." + name.split(".", 1)[1]
        last = "." + name.rsplit(".", 1)[1]
        told = {}
        if kind := GLOBS.get("*" + ending) or GLOBS.get("*" + last):
            told["freedesktop"] = kind
        found, encoding = DEBIAN.guess_type(name)
        if found and not encoding:
            told["debian"] = found
        to.write("\t".join([name, MADE[name], *(f"{who}={kind}" for who, kind in told.items())]) + "\n")
print(len(MADE), "files", len({n.rsplit(".", 1)[1] for n in MADE}), "extensions")
