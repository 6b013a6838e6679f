"""Body parts: from the words that a header uses to codes, and which part lies within which.

Codes are SNOMED CT, as in PS3.16 CID 4031 "Common Anatomic Region" (edition 2024b); the organs
that it leaves out and that descriptions name (lung, liver, brain, ...) have the codes of PS3.16
Annex L. Only codes leave this module: the text of a description is never kept.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_TEXT: Final = 256
"""Characters of a text that are looked at; an LO holds 64."""


class Region(NamedTuple):
    """A body part.

    Attributes
    ----------
    code
        SNOMED CT.
    meaning
        Its name in PS3.16, and with `words` what it is recognised by.
    within
        Meanings of the larger parts that it lies in.
    words
        Synonyms: defined terms of BodyPartExamined (PS3.16 Annex L), abbreviations, Latin and
        Spanish names. Several words are written with a space.
    former
        Codes for the same part in earlier editions and in SRT (PS3.16 Annex O).
    """

    code: str
    meaning: str
    within: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    former: tuple[str, ...] = ()


def _region(code: str, meaning: str, within: str = "", words: str = "", former: str = "") -> Region:
    return Region(
        code,
        meaning,
        tuple(part.strip() for part in within.split("+") if part),
        tuple(word.strip() for word in words.split(",") if word),
        tuple(former.split()),
    )


REGIONS: Final = (
    _region("38266002", "Entire body", "", "whole body, wholebody, wb", "T-D0010"),
    # The parts that the others lie in.
    _region("69536005", "Head", "", "cabeza, kopf, caput, tete", "T-D1100"),
    _region("45048000", "Neck", "", "cuello, hals, cervix colli, collum", "T-D1600"),
    _region(
        "816094009",
        "Chest",
        "",
        "thorax, thoracic, torax, cxr, hrct, poitrine",
        "51185008 43799004 T-D3000 T-D3200",
    ),
    _region("818981001", "Abdomen", "", "abdominal, abd, abdo, bauch, kub", "113345001 T-D4000"),
    _region("816092008", "Pelvis", "", "pelvic, pelvico, becken", "12921003 T-D6000"),
    _region("66019005", "Extremity", "", "extremities, extremidad", "T-D0300"),
    _region("53120007", "Upper limb", "Extremity", "arm, upper extremity, brazo", "T-D8000"),
    _region("61685007", "Lower limb", "Extremity", "leg, lower extremity, pierna", "T-D9000"),
    _region("421060004", "Spine", "", "vertebral column, wspine, columna, spinal", "T-D04FF"),
    # What names several at once.
    _region("774007", "Head and Neck", "Head+Neck", "headneck", "T-D1000"),
    _region("417437006", "Neck and Chest", "Neck+Chest", "neckchest", "R-FAB52"),
    _region(
        "416152001", "Neck, Chest and Abdomen", "Neck+Chest+Abdomen", "neckchestabdomen", "R-FAB53"
    ),
    _region(
        "416319003",
        "Neck, Chest, Abdomen and Pelvis",
        "Neck+Chest+Abdomen+Pelvis",
        "neckchestabdpelv, ncap",
        "R-FAB54",
    ),
    _region("416550000", "Chest and Abdomen", "Chest+Abdomen", "chestabdomen, chestabd", "R-FAB55"),
    _region(
        "416775004",
        "Chest, Abdomen and Pelvis",
        "Chest+Abdomen+Pelvis",
        "chestabdpelvis, chestabdomenpelvis, cap, tap",
        "R-FAB56",
    ),
    _region(
        "818982008",
        "Abdomen and Pelvis",
        "Abdomen+Pelvis",
        "abdomenpelvis, abdpelvis, abdpel",
        "416949008 R-FAB57",
    ),
    _region("1231522001", "Pelvis and lower extremities", "Pelvis+Lower limb", "pelvislowextremt"),
    _region("110517009", "Vertebral column and cranium", "Spine+Skull", "skullspine", "T-11011"),
    # Head.
    _region(
        "12738006", "Brain", "Head", "cerebral, cerebrum, cerebro, encephalon, craneo", "T-A0100"
    ),
    _region("113305005", "Cerebellum", "Brain", "cerebelo", "T-A6000"),
    _region("89546000", "Skull", "Head", "cranium, cranial, calvaria", "T-11100"),
    _region("91397008", "Facial bones", "Head", "face, facial, maxillofacial", "T-11196"),
    _region("661005", "Jaw region", "Head", "jaw", "T-D1213"),
    _region("91609006", "Mandible", "Jaw region", "mandibular, mandibula", "T-11180"),
    _region("70925003", "Maxilla", "Facial bones", "maxillary", "T-11170"),
    _region("13881006", "Zygoma", "Facial bones", "zygomatic", "T-11166"),
    _region("74386004", "Nasal bone", "Facial bones", "nose, nasal", "T-11149"),
    _region("53620006", "Temporomandibular joint", "Head", "tmj, tmjoint", "T-15290"),
    _region("2095001", "Paranasal sinus", "Head", "sinus, sinuses, psinus", "T-22000"),
    _region("59066005", "Mastoid bone", "Skull", "mastoid", "T-11133"),
    _region("361078006", "Internal Auditory Canal", "Head", "iac, auditory canal", "T-AB959"),
    _region("42575006", "Sella turcica", "Head", "sella, pituitary", "T-D1460"),
    _region("81745001", "Eye", "Head", "eyes, ojo", "T-AA000"),
    _region("371398005", "Eye region", "Head", "", "T-D0801"),
    _region("363654007", "Orbital structure", "Head", "orbit, orbits, orbita", "T-D14AE"),
    _region("55024004", "Optic canal", "Head", "opticcanal", "T-11102"),
    _region("45289007", "Parotid gland", "Head", "parotid", "T-61100"),
    _region("54019009", "Submandibular gland", "Neck", "submandibular", "T-61300"),
    # Neck.
    _region("4596009", "Larynx", "Neck", "laryngeal, laringe", "T-24100"),
    _region("69748006", "Thyroid", "Neck", "thyroid gland, tiroides", "T-B6000"),
    _region("69105007", "Carotid artery", "Neck", "carotid, carotids", "T-45010"),
    # Chest.
    _region(
        "39607008",
        "Lung",
        "Chest",
        "lungs, pulmonary, pulmon, pulmones, pulmonar, lunge, poumon",
        "T-28000",
    ),
    _region("86598002", "Apex of Lung", "Lung", "", "T-280A0"),
    _region("72410000", "Mediastinum", "Chest", "mediastinal", "T-D3300"),
    _region("80891009", "Heart", "Chest", "cardiac, corazon, coronary", "T-32000"),
    _region("76752008", "Breast", "Chest", "breasts, mamma, mama, mammography", "T-04000"),
    _region("113197003", "Rib", "Chest", "ribs, costillas", "T-11300"),
    _region("56873002", "Sternum", "Chest", "sternal", "T-11210"),
    _region("7844006", "Sternoclavicular joint", "Chest", "scjoint", "T-15610"),
    _region("44567001", "Trachea", "Chest+Neck", "tracheal, traquea", "T-25000"),
    _region("955009", "Bronchus", "Chest", "bronchi, bronchial, bronquio", "T-26000"),
    _region("32849002", "Esophagus", "Chest", "oesophagus, esofago, esophageal", "T-56000"),
    # Abdomen.
    _region("10200004", "Liver", "Abdomen", "hepatic, higado, leber", "T-62000"),
    _region("303270005", "Liver and biliary structure", "Abdomen", "", "T-50007"),
    _region("34707002", "Biliary tract", "Abdomen", "biliary", "T-60600"),
    _region("28273000", "Bile duct", "Abdomen", "bileduct", "T-60610"),
    _region("79741001", "Common bile duct", "Abdomen", "", "T-64500"),
    _region("69930009", "Pancreatic duct", "Abdomen", "", "T-65010"),
    _region("110621006", "Pancreatic duct and bile duct systems", "Abdomen", "ercp", "T-65600"),
    _region("28231008", "Gallbladder", "Abdomen", "gall bladder, vesicula", "T-63000"),
    _region("15776009", "Pancreas", "Abdomen", "pancreatic", "T-65000"),
    _region("78961009", "Spleen", "Abdomen", "splenic, bazo", "T-C3000"),
    _region("64033007", "Kidney", "Abdomen", "kidneys, renal, rinon, rinones", "T-71000"),
    _region("23451007", "Adrenal gland", "Abdomen", "adrenal, adrenals", "T-B3000"),
    _region("431491007", "Upper urinary tract", "Abdomen", "urinary tract, ivp", "T-7000B"),
    _region("87953007", "Ureter", "Abdomen", "ureters", "T-73000"),
    _region("69695003", "Stomach", "Abdomen", "gastric, estomago", "T-57000"),
    _region("110861005", "Esophagus, stomach and duodenum", "Chest+Abdomen", "ugi", "T-DD163"),
    _region("38848004", "Duodenum", "Abdomen", "duodenal", "T-58200"),
    _region("21306003", "Jejunum", "Abdomen", "", "T-58400"),
    _region("34516001", "Ileum", "Abdomen", "", "T-58600"),
    _region("30315005", "Small intestine", "Abdomen", "small bowel", "T-58000"),
    _region("14742008", "Large intestine", "Abdomen", "large bowel, bowel", "T-59000"),
    _region("71854001", "Colon", "Abdomen", "colonography, colonic", "T-59300"),
    # Pelvis.
    _region("34402009", "Rectum", "Pelvis", "rectal, recto", "T-59600"),
    _region("53505006", "Anus", "Pelvis", "anal", "T-59900"),
    _region("89837001", "Bladder", "Pelvis", "urinary bladder, vejiga", "T-74000"),
    _region("13648007", "Urethra", "Pelvis", "urethral", "T-75000"),
    _region("41216001", "Prostate", "Pelvis", "prostata", "T-92000"),
    _region("35039007", "Uterus", "Pelvis", "uterine, utero", "T-83000"),
    _region("110639002", "Uterus and fallopian tubes", "Pelvis", "hsg", "T-88920"),
    _region("22356005", "Ilium", "Pelvis", "iliac bone", "T-12340"),
    _region("39723000", "Sacroiliac joint", "Pelvis", "si joint, sijoint, sacroiliac", "T-15680"),
    # Spine.
    _region(
        "122494005", "Cervical spine", "Spine+Neck", "cspine, c spine, columna cervical", "T-11501"
    ),
    _region(
        "1217257000",
        "Cervico-thoracic spine",
        "Spine",
        "ctspine, cervicothoracic spine",
        "297171002 T-D00F7",
    ),
    _region("122495006", "Thoracic spine", "Spine", "tspine, t spine, dorsal spine", "T-11502"),
    _region(
        "1217256009",
        "Thoraco-lumbar spine",
        "Spine",
        "tlspine, thoracolumbar spine",
        "297172009 T-D00F8",
    ),
    _region("122496007", "Lumbar spine", "Spine", "lspine, l spine, lumbar", "T-11503"),
    _region(
        "1217253001",
        "Lumbo-sacral spine",
        "Spine",
        "lsspine, lumbosacral spine",
        "297173004 T-D00F9",
    ),
    _region("1217254007", "Sacro-coccygeal Spine", "Spine"),
    _region("54735007", "Sacrum", "Spine+Pelvis", "sacral, sspine", "T-11AD0"),
    _region("64688005", "Coccyx", "Spine+Pelvis", "", "T-11BF0"),
    # Limbs.
    _region("16982005", "Shoulder", "Upper limb", "hombro", "T-D2220"),
    _region("79601000", "Scapula", "Upper limb", "", "T-12280"),
    _region("51299004", "Clavicle", "Upper limb", "clavicula", "T-12310"),
    _region("85856004", "Acromioclavicular joint", "Upper limb", "acjoint", "T-15420"),
    _region("40983000", "Upper arm", "Upper limb", "upperarm", "T-D8200"),
    _region("85050009", "Humerus", "Upper limb", "humero", "T-12410"),
    _region("16953009", "Elbow joint", "Upper limb", "elbow, codo", "T-15430"),
    _region("14975008", "Forearm", "Upper limb", "antebrazo", "T-D8500"),
    _region("74670003", "Wrist joint", "Upper limb", "wrist, muneca", "T-15460"),
    _region("85562004", "Hand", "Upper limb", "hands, mano", "T-D8700"),
    _region("7569003", "Finger", "Hand", "fingers", "T-D8800"),
    _region("76505004", "Thumb", "Hand", "", "T-D8810"),
    _region("371195002", "Bone of upper limb", "Upper limb", "", "T-D0821"),
    _region("30608006", "Muscle of upper limb", "Upper limb", "", "T-13600"),
    _region("29836001", "Hip", "Lower limb", "hips, cadera", "T-D2500"),
    _region("24136001", "Hip joint", "Lower limb", "", "T-15710"),
    _region("68367000", "Thigh", "Lower limb", "muslo", "T-D9100"),
    _region("71341001", "Femur", "Lower limb", "femoral", "T-12710"),
    _region("72696002", "Knee", "Lower limb", "knees, rodilla, knie", "T-D9200"),
    _region("64234005", "Patella", "Knee", "patellar, rotula", "T-12730"),
    _region("30021000", "Lower leg", "Lower limb", "lowerleg, tibfib, calf", "T-D9400"),
    _region("87342007", "Fibula", "Lower limb", "", "T-12750"),
    _region("12611008", "Tibia", "Lower limb", "tibial", "T-12740"),
    _region("70258002", "Ankle joint", "Lower limb", "ankle, tobillo", "T-15750"),
    _region("56459004", "Foot", "Lower limb", "feet", "T-D9700"),
    _region("80144004", "Calcaneus", "Foot", "heel", "T-12770"),
    _region("27949001", "Tarsal joint", "Foot", "", "T-15770"),
    _region("58742003", "Sesamoid bones of foot", "Foot", "", "T-12980"),
    _region("29707007", "Toe", "Foot", "toes", "T-D9800"),
    _region("72001000", "Bone of lower limb", "Lower limb", "", "T-12700"),
    _region("102292000", "Muscle of lower limb", "Lower limb", "", "T-14668"),
    # No part of a patient at all.
    _region("706342009", "Phantom", "", "fantom, fantoma, calibration, quality control", "R-FE0C7"),
)

BY_CODE: Final = {region.code: region for region in REGIONS}
_BY_MEANING: Final = {region.meaning: region for region in REGIONS}


def _plain(text: str) -> list[str]:
    """Words in lower case, without accents, of at most `LONGEST_TEXT` characters."""
    decomposed = unicodedata.normalize("NFKD", text[:LONGEST_TEXT])
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.findall(r"[a-z]+", letters.casefold())


def _words() -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for region in REGIONS:
        for name in (region.meaning, *region.words):
            words = tuple(word for word in _plain(name) if word != "and")
            found.setdefault(words, region.code)
            found.setdefault(("".join(words),), region.code)
    return found


_WORDS: Final = _words()
_LONGEST: Final = max(map(len, _WORDS))
_CODES: Final = {code: region.code for region in REGIONS for code in (region.code, *region.former)}


def _around() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}

    def within(region: Region) -> frozenset[str]:
        parts = {region.code}
        for meaning in region.within:
            parts |= within(_BY_MEANING[meaning])
        return frozenset(parts)

    for region in REGIONS:
        found[region.code] = within(region)
    return found


_AROUND: Final = _around()


def codes_in_text(text: str) -> tuple[str, ...]:
    """Find the body parts that a text names, in the order of their naming.

    The longest name wins, so that a cervical spine is no neck and a thoracic spine no chest.

    Examples
    --------
    >>> codes_in_text("CT TÓRAX W/O CONTRAST")
    ('816094009',)
    >>> [BY_CODE[code].meaning for code in codes_in_text("MR thoracic spine, liver")]
    ['Thoracic spine', 'Liver']
    """
    words = _plain(text)
    found: dict[str, None] = {}
    position = 0
    while position < len(words):
        for length in range(min(_LONGEST, len(words) - position), 0, -1):
            code = _WORDS.get(tuple(words[position : position + length]))
            if code is not None:
                found[code] = None
                position += length
                break
        else:
            position += 1
    return tuple(found)


def code_of(term: str) -> str | None:
    """Give the code of a body part from its code (of any edition), name or defined term.

    Examples
    --------
    >>> code_of("CHEST"), code_of("T-28000"), code_of("LSPINE"), code_of("elsewhere")
    ('816094009', '39607008', '122496007', None)
    """
    term = term.strip()
    if term.upper() in _CODES:
        return _CODES[term.upper()]
    words = tuple(word for word in _plain(term) if word != "and")
    return _WORDS.get(words) or _WORDS.get(("".join(words),))


def body_parts(
    BodyPartExamined: str,  # noqa: N803 - the standard's spelling
    AnatomicRegionSequence: Iterable[str],  # noqa: N803
    StudyDescription: str,  # noqa: N803
) -> tuple[str, ...]:
    """Give the codes of the body parts that a header states.

    The description counts only where neither of the other two names a part that is known: it
    speaks of the whole study, they of this image.

    Parameters
    ----------
    BodyPartExamined
        Its text, perhaps empty.
    AnatomicRegionSequence
        The Code Values of its items.
    StudyDescription
        Its text, perhaps empty. Nothing but the codes found in it is returned.

    Returns
    -------
    tuple of str
        SNOMED CT codes, each once.

    Examples
    --------
    >>> body_parts("", (), "Lung screening"), body_parts("HEAD", (), "Chest")
    (('39607008',), ('69536005',))
    """
    found: dict[str, None] = {}
    whole = code_of(BodyPartExamined[:LONGEST_TEXT])
    for code in (whole,) if whole else codes_in_text(BodyPartExamined):
        found[code] = None
    for value in AnatomicRegionSequence:
        code = _CODES.get(value.strip().upper(), "")
        if code:
            found[code] = None
    return tuple(found) or codes_in_text(StudyDescription)


def covers(regions: Iterable[str], shown: Iterable[str]) -> bool:
    """Tell whether one of the parts shown is, lies within or comprises one of the regions.

    A network for the chest reads an image of a lung, and one of chest and abdomen.

    Parameters
    ----------
    regions
        Codes that a model is made for.
    shown
        Codes of the image.

    Examples
    --------
    >>> covers([code_of("CHEST")], [code_of("lung")])
    True
    >>> covers([code_of("CHEST")], [code_of("CHESTABDOMEN")])
    True
    >>> covers([code_of("CHEST")], [code_of("HEAD")])
    False
    """
    wanted = set(regions)
    return any(not wanted.isdisjoint(_AROUND.get(code, (code,))) for code in shown)
