import TestSupport
import Testing

@Suite struct TokenizeTests {
    /// A byte-level tokenizer of four tokens.
    private static let tokenizer = """
        {"version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null,
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
         "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
         "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                   "vocab": {"a": 0, "b": 1, "ab": 2, "\u{120}": 3, "\u{10A}": 4}, "merges": ["a b"]}}
        """

    private func tokenize(_ text: [UInt8], as name: String) async throws -> GraftRun {
        let folder = try TemporaryFolder()
        let tokenizer = try folder.write(Self.tokenizer, to: "tokenizer.json")
        return try await Graft.run(
            ["tokenize", "--tokenizer", tokenizer, "--file", name], in: folder.with(text, at: name).path)
    }

    @Test func aLineOfTextIsALineOfIds() async throws {
        let run = try await tokenize(Array("ab a\n\nba".utf8), as: "lines.txt")
        #expect(run.output == "[2,3,0]\n[]\n[1,0]\n" && run.status == 0 && run.errors.isEmpty)
    }

    @Test func aLineOfJSONIsAText() async throws {
        let run = try await tokenize(Array(#""a\nab"\#n"""#.utf8), as: "lines.jsonl")
        #expect(run.output == "[0,4,2]\n[]\n" && run.status == 0)
    }

    @Test func aModelsFolderHoldsItsTokenizer() async throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.tokenizer, to: "m/tokenizer.json")
        try folder.write("{}", to: "m/config.json")
        try folder.write("", to: "m/model.safetensors")
        try folder.write("ab", to: "lines.txt")
        let run = try await Graft.run(["tokenize", "--model", "m", "--file", "lines.txt"], in: folder.path)
        #expect(run.output == "[2]\n" && run.status == 0)
    }

    @Test(arguments: [
        ("bytes.txt", Array("ab\n".utf8) + [0xFF], "error: bytes.txt: line 2: not UTF-8\n"),
        (
            "numbers.jsonl", Array("\"ab\"\n3\n".utf8),
            "error: numbers.jsonl: line 2: a JSON string is expected, not a number\n"
        ),
    ])
    func aBadLineIsNamedAfterTheGoodOnes(name: String, text: [UInt8], expected: String) async throws {
        let run = try await tokenize(text, as: name)
        #expect(run.status == 2 && run.output == "[2]\n" && run.errors == expected)
    }
}

extension TemporaryFolder {
    /// The folder with a file more.
    fileprivate func with(_ bytes: [UInt8], at name: String) throws -> TemporaryFolder {
        try write(bytes, to: name)
        return self
    }
}
