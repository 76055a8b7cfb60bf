/* Patterns that many vocabularies cut words by. */
#ifndef TEXT_PATTERNS_H
#define TEXT_PATTERNS_H

/* GPT-2's pattern, which ByteLevel(use_regex) stands for. */
#define PATTERN_GPT2                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define PATTERN_DIGIT "\\p{N}"
/* What Llama 3, Qwen 2 and others cut words by; they differ in how they cut digits. */
#define PATTERN_WORDS(digits)                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#endif
