"""Free text without what may identify: the Clean Descriptors Option (PS3.15 E.3.5, code 113105).

What stays is what is known to be harmless; there is no list of what is forbidden that could miss
something. The rules:

1. *Words.* A word stays if it is in the vocabulary (``vocabulary.json`` and the words added by
   setting) and is not one of the known words of the same header. Case does not matter, nor do
   accents, umlauts and a final s where known words are looked for.
2. *The vocabulary* has the words of the standard's own code meanings, attribute names and UIDs, and
   of protocols as scanners write them in English, German, French, Spanish, Italian and Latin.
   Names of people, places and breeds were taken out, eponyms too (a patient can be called
   Parkinson, a view Towne). Of words that are both, those without which protocols cannot be named
   stayed: parts of the body, techniques such as Doppler and Dixon.
3. *Words that are names too* (Head, Long, Dixon, and little words such as *of*) are marked in the
   vocabulary. They go together with a word beside them that goes: of ``CT Long Smith`` only ``CT``
   stays. So do lone letters, which may be initials, and numbers without a unit, which may be of a
   street or a room; numbers go beside numbers that go as well.
4. *Joined words.* Words joined by hyphen, full stop, apostrophe, ``^``, ``~``, ``@``, ``&`` or
   backslash stay or go together (Smith-Lung, name^name), and so do words in CamelCase (McLung).
   Underscore, slash, plus and other signs part words: of ``Chest_Smith`` the first stays.
5. *Titles* (Dr., Prof., Mrs, Herr, Mme, Sig., ...) and words that announce somebody (by, ref, name,
   MRN, phone, ...) go with up to four words that follow, up to the next sign that parts.
6. *Numbers* of up to three digits stay, with decimals, signs, units, percent, as ``1.5x1.5``, as a
   range ``0-15``, a ratio ``10:1``, a list ``1,2,3``, a fraction ``5/5mm``. Longer ones go, years
   among them, with all that is joined to them.
7. *Dates, times, telephone numbers.* What may be one goes: numbers joined otherwise than in rule 6;
   three in a row of the form of a date; day and month (``12.01``, ``12/61``) and ranges padded with
   zeros (``03-61``), both unless a unit follows; more than six digits with nothing but signs and
   blanks between them; what stands beside the name of a month or a word for age or hour.
8. *Letters with digits* stay as: a word of the vocabulary (``t1w``); up to three letters of the
   vocabulary and up to two digits (C7, T12, p2), three digits if the letters are a parameter's
   (TE90); a longer word and up to three digits (BRAIN2); up to three digits and a word (3D, 10mm,
   1HEAD); a kernel (B30f, Br40). Four digits stay right behind TE, TR and TI in tens (TR2000), and
   as b-values in fifties, which may be a list (b50_400_1000).
9. *Addresses*: all between two blanks goes if it is an e-mail address, a URL or a path.
10. *Alphabets.* Words of others than Latin letters are in no vocabulary and go, and so does what
    has characters that are not seen.
11. *Tidying.* Signs left hanging, brackets without counterpart and blanks in a row go, if anything
    else went. Text that is clean is returned as it is. Cleaning is repeated until nothing changes.
12. *Spelled words.* Lone letters and digits in a row, whatever signs are between (``S M I T H``,
    ``4-7-1-1``), go if joined they have a known word of two characters and more, or a known number
    of four digits and more; so do four and more letters with no slash between that joined are not
    in the vocabulary; and more than 32 of them in any case.
13. *Length.* Of a text of more than 65,536 characters nothing is left: no description is as long,
    and whoever sends one wants to be waited for.

What the rules cannot know: a name that consists of nothing but words of the vocabulary, has no
title, and is not in the header that it came with.
"""

from preread.deidentify.descriptors.cleaner import TextCleaner
from preread.deidentify.descriptors.known import known_words

__all__ = ["TextCleaner", "known_words"]
