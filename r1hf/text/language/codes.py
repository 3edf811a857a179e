"""Languages that a text can be held to: their codes and names, and the scripts that each is written in."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from r1hf.core.errors import DataError

# ISO 639-1 (or 639-3 where there is none) | other codes | scripts, the usual one first | names.
# The first language of a script is the one that `detect` names where the script alone decides.
_TABLE = """
en | eng | latin | english
zh | zho chi cmn yue wuu nan hak lzh | cjk | chinese mandarin cantonese 中文 汉语 漢語 普通话 普通話 粵語 粤语
ja | jpn | cjk | japanese 日本語
ko | kor | hangul | korean 한국어
el | ell gre | greek | greek ελληνικά
he | heb iw | hebrew | hebrew עברית
hi | hin | devanagari | hindi हिन्दी हिंदी
th | tha | thai | thai ไทย ภาษาไทย
ru | rus | cyrillic | russian русский
ar | ara arb arz apc ary | arabic | arabic العربية
es | spa | latin | spanish castilian español castellano
fr | fra fre | latin | french français
de | deu ger | latin | german deutsch
vi | vie | latin | vietnamese
it | ita | latin | italian italiano
pt | por | latin | portuguese português
nl | nld dut | latin | dutch flemish nederlands
pl | pol | latin | polish polski
tr | tur | latin | turkish türkçe
id | ind in | latin | indonesian
ca | cat | latin | catalan valencian català
cs | ces cze | latin | czech čeština
da | dan | latin | danish dansk
fi | fin | latin | finnish suomi
hu | hun | latin | hungarian magyar
ro | ron rum mo mol | latin cyrillic | romanian moldovan română
sv | swe | latin | swedish svenska
no | nor nb nob nn nno | latin | norwegian bokmål nynorsk norsk
hr | hrv | latin | croatian hrvatski
sk | slk slo | latin | slovak slovenčina
sl | slv | latin | slovenian slovene
lt | lit | latin | lithuanian
lv | lav lvs | latin | latvian
ms | msa may zsm | latin arabic | malay
tl | tgl fil | latin | tagalog filipino pilipino
is | isl ice | latin | icelandic
uk | ukr | cyrillic | ukrainian українська
bg | bul | cyrillic | bulgarian български
mk | mkd mac | cyrillic | macedonian
sr | srp scc | cyrillic latin | serbian српски srpski
bs | bos | latin cyrillic | bosnian bosanski
sh | hbs cnr | latin cyrillic | serbo-croatian montenegrin
be | bel | cyrillic latin | belarusian
fa | fas per pes prs | arabic | persian farsi dari فارسی
ur | urd | arabic | urdu اردو
bn | ben | bengali | bengali bangla বাংলা
ta | tam | tamil | tamil தமிழ்
te | tel | telugu | telugu తెలుగు
gu | guj | gujarati | gujarati ગુજરાતી
kn | kan | kannada | kannada ಕನ್ನಡ
ml | mal | malayalam | malayalam മലയാളം
mr | mar | devanagari | marathi मराठी
ne | nep npi | devanagari | nepali नेपाली
sa | san | devanagari | sanskrit
bho | | devanagari | bhojpuri
mai | | devanagari | maithili
kok | gom | devanagari latin | konkani
pa | pan pnb | gurmukhi arabic | punjabi panjabi ਪੰਜਾਬੀ
or | ori ory | oriya | odia oriya ଓଡ଼ିଆ
as | asm | bengali | assamese অসমীয়া
si | sin | sinhala | sinhala sinhalese සිංහල
km | khm | khmer | khmer cambodian ខ្មែរ
lo | lao | lao | lao laotian ລາວ
my | mya bur | myanmar | burmese myanmar မြန်မာ
bo | bod tib | tibetan | tibetan
dz | dzo | tibetan | dzongkha
am | amh | ethiopic | amharic አማርኛ
ti | tir | ethiopic | tigrinya ትግርኛ
ka | kat geo | georgian | georgian ქართული
hy | hye arm | armenian | armenian հայերեն
dv | div | thaana | dhivehi divehi maldivian
chr | | cherokee | cherokee
syr | arc aii | syriac | syriac aramaic
nqo | | nko | n'ko
sat | | olchiki | santali
mni | | meetei bengali | manipuri meitei
zgh | tzm ber kab | tifinagh latin | tamazight berber kabyle
yi | yid ydd ji | hebrew | yiddish
kk | kaz | cyrillic latin arabic | kazakh қазақша
ky | kir | cyrillic arabic | kyrgyz kirghiz кыргызча
tg | tgk | cyrillic | tajik тоҷикӣ
mn | mon khk | cyrillic mongolian | mongolian монгол
tt | tat | cyrillic latin | tatar
ba | bak | cyrillic | bashkir
cv | chv | cyrillic | chuvash
ce | che | cyrillic | chechen
os | oss | cyrillic | ossetian
sah | | cyrillic | yakut
uz | uzb uzn | latin cyrillic arabic | uzbek oʻzbekcha
az | aze azj azb | latin cyrillic arabic | azerbaijani azeri azərbaycanca
tk | tuk | latin cyrillic arabic | turkmen
crh | | latin cyrillic | crimean-tatar
ku | kur kmr ckb | latin arabic cyrillic | kurdish kurmanji sorani
ps | pus pbt | arabic | pashto pushto پښتو
sd | snd | arabic devanagari | sindhi
ks | kas | arabic devanagari | kashmiri
ug | uig | arabic cyrillic latin | uyghur uighur
et | est ekk | latin | estonian eesti
eu | eus baq | latin | basque euskara
gl | glg | latin | galician galego
ast | | latin | asturian
oc | oci | latin | occitan
co | cos | latin | corsican
scn | | latin | sicilian
sc | srd | latin | sardinian
rm | roh | latin | romansh
la | lat | latin | latin
eo | epo | latin | esperanto
ia | ina | latin | interlingua
af | afr | latin | afrikaans
fy | fry | latin | frisian
lb | ltz | latin | luxembourgish
nds | | latin | low-german
fo | fao | latin | faroese
ga | gle | latin | irish gaeilge
gd | gla | latin | scottish-gaelic gaelic
cy | cym wel | latin | welsh cymraeg
br | bre | latin | breton
mt | mlt | latin | maltese
sq | sqi alb als | latin | albanian shqip
se | sme | latin | sami
sw | swa swh | latin | swahili kiswahili
zu | zul | latin | zulu isizulu
xh | xho | latin | xhosa
st | sot | latin | sotho sesotho
nso | | latin | sepedi
tn | tsn | latin | tswana
ts | tso | latin | tsonga
ss | ssw | latin | swati
ve | ven | latin | venda
nr | nbl | latin | ndebele
sn | sna | latin | shona
ny | nya | latin | chichewa nyanja
rw | kin | latin | kinyarwanda
rn | run | latin | kirundi
lg | lug | latin | luganda ganda
ln | lin | latin | lingala
so | som | latin | somali
om | orm gaz | latin | oromo
ha | hau | latin arabic | hausa
yo | yor | latin | yoruba
ig | ibo | latin | igbo
wo | wol | latin | wolof
ff | ful fuv | latin | fula fulah
tw | twi aka ak | latin | twi akan
ee | ewe | latin | ewe
bm | bam | latin | bambara
mg | mlg plt | latin | malagasy
jv | jav | latin | javanese
su | sun | latin | sundanese
min | | latin | minangkabau
ace | | latin | acehnese
ban | | latin | balinese
ceb | | latin | cebuano
ilo | | latin | ilocano
war | | latin | waray
pam | | latin | kapampangan
hmn | hmong mww | latin | hmong
haw | | latin | hawaiian
mi | mri mao | latin | maori māori
sm | smo | latin | samoan
to | ton | latin | tongan
fj | fij | latin | fijian
ht | hat | latin | haitian
gn | grn gug | latin | guarani
qu | que quy quz | latin | quechua
ay | aym ayr | latin | aymara
nv | nav | latin | navajo
tpi | | latin | tok-pisin
pap | | latin | papiamento
"""
_ROWS = [[part.split() for part in line.split("|")] for line in _TABLE.strip().splitlines()]
SCRIPTS: dict[str, tuple[str, ...]] = {row[0][0]: tuple(row[2]) for row in _ROWS}
_CODES = {code: row[0][0] for row in _ROWS for code in (*row[0], *row[1])}
_NAMES = {name.replace("-", " "): row[0][0] for row in _ROWS for name in row[3]}
# Countries and slips that are no code of the language meant.
_NEAREST = dict(
    pair.split(":") for pair in "cn:zh jp:ja kr:ko vn:vi ua:uk gr:el cz:cs dk:da br:pt us:en gb:en ir:fa tj:tg".split()
)


def language_code(text: Any) -> str | None:
    """The code that `text` stands for: zh-Hant and cmn are zh, pt_BR and "Brazilian Portuguese" pt. None if unknown.

    Regions and scripts are not told apart. What is no text (a table's NaN) stands for nothing.
    """
    return _read(text) if isinstance(text, str) else None


@functools.lru_cache(maxsize=4096)
def _read(text: str) -> str | None:
    plain = " ".join(text.lower().replace("_", "-").split())
    name = plain.replace("-", " ")
    first = re.split(r"[-.@]", plain, maxsplit=1)[0]
    found = _CODES.get(first) or _NAMES.get(name) or _NAMES.get(first)
    if found is None:
        named = {_NAMES[word] for word in re.split(r"[\s,()\[\]/;]+", name) if word in _NAMES}
        found = named.pop() if len(named) == 1 else None
    return found


_HOLES = frozenset(("", "nan", "none", "null", "n/a"))  # "nan" is Min Nan's code too, which no data set asks for


def names_none(value: Any) -> bool:
    """Whether a row leaves its language open: None, a table's NaN also as text, a blank."""
    return value is None or value != value or (isinstance(value, str) and value.strip().casefold() in _HOLES)


def known_code(text: str) -> str:
    """`language_code`, but raises DataError, with the nearest code, where that is None."""
    return language_code(text) or _refuse(text)


def unknown(text: Any) -> str:
    """One sentence that says what is wrong with a language and what to write."""
    return f"language {text!r:.60} is unknown; {_hint(text)}"


def _refuse(text: Any) -> str:
    raise DataError(f"{unknown(text)}. Known are {', '.join(sorted(SCRIPTS))}")


def _hint(text: Any) -> str:
    import difflib

    every: Iterable[str] = [*_NEAREST, *_NAMES, *_CODES]
    close = difflib.get_close_matches(str(text).lower(), every, n=1, cutoff=0.75)
    if not close:
        return "use an ISO 639-1 code such as en"
    nearest = _NEAREST.get(close[0]) or _NAMES.get(close[0]) or _CODES[close[0]]
    return f"did you mean {nearest!r}? Use an ISO 639-1 code such as en"
