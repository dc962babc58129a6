import Files
import TestSupport
import Testing
import Tokenizers

/// Files that are wrong, one fault each: every one an error that says where, none a trap.
@Suite struct BadFileTests {
    /// What is done to a good file, and how the error goes on after the path.
    struct Fault: Sendable, CustomTestStringConvertible {
        var path: [String]
        var value: JSON?
        var message: String
        var testDescription: String { path.joined(separator: ".") + " = " + (value?.text() ?? "removed") }

        init(_ path: String, _ value: JSON?, _ message: String) {
            self.path = path.split(separator: ".").map(String.init)
            (self.value, self.message) = (value, message)
        }
    }

    private static let longText = String(repeating: "a", count: 2000)

    static let faults: [Fault] = [
        Fault("model", nil, "has no “model”"),
        Fault("model", "BPE", "model: has no “vocab”"),
        Fault("model.type", "Unigram", #"model.type: the model type "Unigram" is not supported. supported is BPE"#),
        Fault("model.type", 3, "model.type: must be a string, is a number"),
        Fault("model.vocab", nil, "model: has no “vocab”"),
        Fault("model.vocab", [], "model.vocab: must be an object"),
        Fault("model.vocab", ["a": "0"], #"model.vocab: the id of "a" is no integer"#),
        Fault("model.vocab", ["a": 0, "b": 0], #"model.vocab: the tokens "a" and "b" share the id 0"#),
        Fault("model.vocab", ["a": -1], #"model.vocab: the id -1 of token "a" is out of range"#),
        Fault("model.vocab", ["a": 4_000_000_000], #"model.vocab: the id 4000000000 of token "a" is out of range"#),
        Fault("model.vocab", ["a": 1e300], #"model.vocab: the id of "a" is no integer"#),
        Fault("model.merges", nil, "model.merges: must be an array"),
        Fault("model.merges", ["a": 1], "model.merges: must be an array"),
        Fault("model.merges", ["onlyone"], "model.merges[0]: must be two tokens with one space between"),
        Fault(
            "model.merges", ["t h", "t no_such"], #"model.merges[1]: names "no_such", which is not in the vocabulary"#),
        Fault("model.merges", [["!", "!"]], #"model.merges[0]: makes "!!", which is not in the vocabulary"#),
        Fault("model.merges", [["t", "h", "e"]], "model.merges[0]: must be two tokens"),
        Fault("model.merges", [[1, 2]], "model.merges[0]: must be two tokens"),
        Fault("model.merges", [7], "model.merges[0]: must be two tokens"),
        Fault("model.dropout", 0.1, "model.dropout: is set, which is not supported"),
        Fault("model.end_of_word_suffix", "</w>", "model.end_of_word_suffix: is set"),
        Fault("model.continuing_subword_prefix", "##", "model.continuing_subword_prefix: is set"),
        Fault("model.unk_token", "nowhere", #"model.unk_token: "nowhere" is not in the vocabulary"#),
        Fault("model.fuse_unk", "yes", "model.fuse_unk: must be true or false, is a string"),
        Fault(
            "normalizer", ["type": "Precompiled"],
            #"normalizer: the normalizer type "Precompiled" is not supported. supported are Sequence, NFC"#),
        Fault(
            "normalizer", ["type": "Sequence", "normalizers": [["type": "Nmt"]]],
            #"normalizer.normalizers[0]: the normalizer type "Nmt""#),
        Fault("normalizer", [1], "normalizer: must be an object, is an array"),
        Fault(
            "normalizer", ["type": "Replace", "pattern": ["String": ""], "content": ""],
            "normalizer.pattern.String: must not be empty"),
        Fault(
            "normalizer",
            [
                "type": "Sequence",
                "normalizers": [
                    ["type": "Replace", "pattern": ["String": "a"], "content": .string(longText)],
                    ["type": "Replace", "pattern": ["Regex": "a"], "content": .string(longText)],
                ],
            ], "normalizer: makes a text more than 4096 times as long"),
        Fault(
            "decoder",
            ["type": "Replace", "pattern": ["String": "a"], "content": .string(longText + longText + longText)],
            "decoder: makes a text more than 4096 times as long"),
        Fault(
            "pre_tokenizer", ["type": "BertPreTokenizer"], #"pre_tokenizer: the pre-tokenizer type "BertPreTokenizer""#),
        Fault("pre_tokenizer", ["type": "Split", "behavior": "Isolated"], "pre_tokenizer: has no “pattern”"),
        Fault(
            "pre_tokenizer", split("a", "Sideways"),
            #"pre_tokenizer.behavior: "Sideways" is not known. known are Removed, Isolated"#),
        Fault(
            "pre_tokenizer", split("(a", "Isolated"),
            #"pre_tokenizer.pattern.Regex: the regular expression "(a" is malformed"#),
        Fault("pre_tokenizer", split("[a&&b]", "Isolated"), "pre_tokenizer.pattern.Regex: the regular expression"),
        Fault("pre_tokenizer", split("[a[bc]]", "Isolated"), "pre_tokenizer.pattern.Regex: the regular expression"),
        Fault("pre_tokenizer", split("\\", "Isolated"), "pre_tokenizer.pattern.Regex: the regular expression"),
        Fault(
            "pre_tokenizer", ["type": "Metaspace", "replacement": "__"],
            "pre_tokenizer.replacement: must be one character"),
        Fault(
            "post_processor", ["type": "BertProcessing"], #"post_processor: the post-processor type "BertProcessing""#),
        Fault(
            "post_processor",
            ["type": "TemplateProcessing", "single": [["SpecialToken": ["id": "<x>"]]], "special_tokens": [:]],
            "post_processor.single[0].SpecialToken.id: names a token that is not in “special_tokens”"),
        Fault(
            "post_processor",
            [
                "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "x"]]],
                "special_tokens": ["x": ["ids": [99_999]]],
            ],
            "post_processor: adds the id 99999, which no token has"),
        Fault("decoder", ["type": "CTC"], #"decoder: the decoder type "CTC" is not supported. supported are Sequence"#),
        Fault("added_tokens", ["x"], "added_tokens[0]: must be an object, is a string"),
        Fault("added_tokens", [["content": "x"]], "added_tokens[0]: has no “id”"),
        Fault("added_tokens", [["content": "x", "id": -5]], "added_tokens[0].id: -5 is out of range"),
        Fault(
            "added_tokens", [["content": "x", "id": 2_000_000_000]], "added_tokens[0].id: 2000000000 is out of range"),
        Fault("added_tokens", [["content": "xyzzy", "id": 50]], #"added_tokens[0]: the tokens "xyzzy" and"#),
        Fault(
            "added_tokens", [["content": "<|im_end|>", "id": 1]],
            #"added_tokens[0]: the token "<|im_end|>" has the id 1 here and 2 in"#),
        Fault(
            "added_tokens", [["content": "xyzzy", "id": 5000], ["content": "yzzy", "id": 5000]],
            #"added_tokens[1]: the tokens "yzzy" and "xyzzy" share"#),
        Fault(
            "added_tokens", [["content": .string(String(repeating: "x", count: 5000)), "id": 5000]],
            "added_tokens[0]: a token of more than"),
    ]

    private static func split(_ pattern: String, _ behavior: String) -> JSON {
        ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": .string(behavior), "invert": false]
    }

    private func error(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return error is InputError ? "\(error)" : "no InputError: \(error)" }
    }

    private func setting(_ path: ArraySlice<String>, of json: JSON, to value: JSON?) -> JSON {
        guard let key = path.first else { return json }
        if path.count == 1 { return json.setting(key, to: value) }
        return json.setting(key, to: setting(path.dropFirst(), of: json[key] ?? [:], to: value))
    }

    @Test(arguments: faults) func aFaultInTheFileIsAnError(_ fault: Fault) throws {
        let folder = try TemporaryFolder()
        let bad = setting(fault.path[...], of: try tokenizerJSON("byte-level"), to: fault.value)
        let path = try folder.write(bad.text(), to: "tokenizer.json")
        let message = error { _ = try Tokenizer(file: path) }
        #expect(message.hasPrefix("\(path): \(fault.message)"), "\(message)")
    }

    @Test func aFileThatIsNoJSONIsAnError() throws {
        let folder = try TemporaryFolder()
        let whole = Array(try tokenizerJSON("byte-level").text().utf8)
        let contents: [(String, [UInt8])] = [
            ("empty", []), ("cut", Array(whole.prefix(whole.count / 2))), ("not UTF-8", [0x22, 0xFF, 0x22]),
            ("list", Array("[]".utf8)), ("number", Array("1".utf8)),
            ("deep", Array((String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)).utf8)),
            (
                "deep component",
                Array(
                    ("{\"model\":{\"vocab\":{},\"merges\":[]},\"normalizer\":"
                        + String(repeating: "{\"type\":\"Sequence\",\"normalizers\":[", count: 5000)).utf8)
            ),
        ]
        for (name, bytes) in contents {
            let path = try folder.write(bytes, to: "tokenizer.json")
            let message = error { _ = try Tokenizer(file: path) }
            #expect(message.hasPrefix("\(path): "), "\(name): \(message)")
        }
        #expect(error { _ = try Tokenizer(file: folder.file("none.json")) }.contains("cannot open the file"))
        #expect(error { _ = try Tokenizer(file: folder.path) }.contains("is not a regular file"))
    }

    @Test(arguments: [
        (#"{"bos_token": "nowhere"}"#, #"bos_token: "nowhere" is no token of this tokenizer"#),
        (#"{"eos_token": 3}"#, "eos_token: must be a string, is a number"),
        (#"{"eos_token": {"text": "x"}}"#, "eos_token: has no “content”"),
        (#"{"chat_template": 1}"#, "chat_template: must be a string, is a number"),
        (#"{"chat_template": [{"name": "x"}]}"#, "chat_template[0]: has no “template”"),
        (#"{"add_bos_token": true}"#, "“add_bos_token” is true, but no such token is named"),
        (#"{"add_bos_token": "yes"}"#, "add_bos_token: must be true or false"),
        ("[1]", "must be an object, is an array"),
        ("{", "byte 1: not valid JSON"),
    ])
    func aFaultInTheConfigurationIsAnError(_ configuration: String, _ message: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(tokenizerJSON("byte-level").text(), to: "tokenizer.json")
        let beside = try folder.write(configuration, to: "tokenizer_config.json")
        let found = error { _ = try Tokenizer(file: path) }
        #expect(found.hasPrefix(beside) && found.contains(message), "\(found)")
    }

    @Test(.timeLimit(.minutes(1)))
    func hostilePatternsAndTextsEnd() throws {
        let folder = try TemporaryFolder()
        let good = try tokenizerJSON("byte-level")
        let raw: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]
        // The b is there, or the patterns that need one would be known not to match.
        let text = String(repeating: "a", count: 3000) + "!b"
        for pattern in ["(a+)+$", "(a|aa)+b", "(?:(?:a*)*)*b", "((a{0,50}){0,50}){0,50}b"] {
            let steps: JSON = ["type": "Sequence", "pretokenizers": [Self.split(pattern, "Isolated"), raw]]
            let path = try folder.write(good.setting("pre_tokenizer", to: steps).text(), to: "tokenizer.json")
            let tokenizer = try Tokenizer(file: path)
            // What would come out is not what the pattern means. The next text has nothing of it.
            let found = error { _ = try tokenizer.encode(text) }
            #expect(found.contains("cannot be matched on the text \"aaaa") && found.contains("match limit"), "\(found)")
            #expect(try tokenizer.decode(tokenizer.encode("c")) == "c")
        }
        // One word of a megabyte, and one that is all one merge.
        for name in ["byte-level", "llama2"] {
            for unit in ["ab", "t", "\u{301}", "🙂"] {
                let long = String(repeating: unit, count: 1 << 18)
                let tokenizer = try tokenizer(name)
                #expect(try tokenizer.decode(tokenizer.encode(long)).utf8.elementsEqual(long.utf8))
            }
        }
    }
}
