import Files

/// What a name in `tokenizer.ggml.pre` stands for: the steps that the tokenizer of that family has in its `tokenizer.json`.
///
/// The names and their patterns are llama.cpp's (`llama-vocab.cpp`), which writes and reads these files.
struct VocabularyPreTokenizer {
    /// Patterns to cut by, one after the other.
    var patterns: [String] = []
    /// Whether digits are cut one by one first.
    var cutsDigits = false
    /// Whether `ByteLevel` cuts by GPT-2's pattern in the end.
    var cutsByGPT2 = false
    /// Whether text is brought to NFC.
    var normalizes = false
    /// Whether a piece that is a token is taken whole.
    var ignoresMerges = false
    /// Whether BOS is added where the file does not say.
    var addsBOS = false

    /// The known names.
    static let known: [String: VocabularyPreTokenizer] = {
        let families: [([String], VocabularyPreTokenizer)] = [
            (["gpt-2", "phi-2", "mpt", "olmo", "jais"], VocabularyPreTokenizer(cutsByGPT2: true)),
            (
                ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
                VocabularyPreTokenizer(cutsDigits: true, cutsByGPT2: true)
            ),
            (
                ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"],
                VocabularyPreTokenizer(patterns: [WordScanner.llama3Pattern], ignoresMerges: true, addsBOS: true)
            ),
            (
                ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"],
                VocabularyPreTokenizer(patterns: [WordScanner.llama3Pattern])
            ),
            (
                ["qwen2", "deepseek-r1-qwen"],
                VocabularyPreTokenizer(patterns: [WordScanner.qwen2Pattern], normalizes: true)
            ),
            (["stablelm2", "hunyuan", "megrez"], VocabularyPreTokenizer(patterns: [WordScanner.qwen2Pattern])),
            (["qwen35"], VocabularyPreTokenizer(patterns: [qwen35], normalizes: true)),
            (["gpt-4o", "llama4"], VocabularyPreTokenizer(patterns: [casedWords(suffix: contractions, "{1,3}")])),
            (
                ["tekken"],
                VocabularyPreTokenizer(patterns: [casedWords(suffix: "", "")], ignoresMerges: true, addsBOS: true)
            ),
            (["falcon"], VocabularyPreTokenizer(patterns: [#"[\p{P}\$\+<=>\^~\|`]+"#, gpt2, "[0-9][0-9][0-9]"])),
            (["deepseek-coder"], VocabularyPreTokenizer(patterns: deepseekCoder)),
            (["deepseek-v3"], VocabularyPreTokenizer(patterns: deepseekV3)),
            (
                ["default"],
                VocabularyPreTokenizer(patterns: [#"[\p{P}\$\+<=>\^~\|]+"#, gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]"])
            ),
        ]
        return Dictionary(
            families.flatMap { names, value in names.map { ($0, value) } }, uniquingKeysWith: { first, _ in first })
    }()

    private static let gpt2 = WordScanner.gpt2Pattern
    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    private static let qwen35 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
        + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let deepseekCoder = [
        #"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+", #"\p{N}"#,
    ]
    private static let deepseekV3 = [
        #"\p{N}{1,3}"#, "[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
            + #"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
    ]

    /// Words that break before a capital: the pattern of GPT-4o and of Mistral's Tekken.
    private static func casedWords(suffix: String, _ numberCount: String) -> String {
        let (upper, lower) = (#"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#)
        let before = #"[^\r\n\p{L}\p{N}]?"#
        return "\(before)\(upper)*\(lower)+\(suffix)|\(before)\(upper)+\(lower)*\(suffix)"
            + #"|\p{N}\#(numberCount)| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// The steps as the JSON of `pre_tokenizer`.
    var json: JSON {
        var steps: [JSON] = patterns.map {
            ["type": "Split", "pattern": ["Regex": .string($0)], "behavior": "Isolated", "invert": false]
        }
        if cutsDigits { steps.append(["type": "Digits", "individual_digits": true]) }
        steps.append(
            ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(cutsByGPT2)])
        return steps.count == 1 ? steps[0] : ["type": "Sequence", "pretokenizers": .array(steps)]
    }
}
