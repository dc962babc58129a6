import Files
import TestSupport
import Testing
import Tokenizers

/// What a tokenizer knows beside ids.
@Suite struct TokenizerTests {
    @Test func namesItsSpecialTokens() throws {
        let tokenizer = try tokenizer("byte-level")
        #expect(tokenizer.token(try #require(tokenizer.bosToken)) == "<|im_start|>")
        #expect(tokenizer.eosToken == tokenizer.id("<|im_end|>"))
        #expect(tokenizer.padToken == tokenizer.eosToken)
        #expect(tokenizer.unknownToken == 0)
        #expect(tokenizer.isSpecial(0))
        #expect(!tokenizer.isSpecial(try #require(tokenizer.id("word"))))
        #expect(tokenizer.vocabularySize == 824)
        #expect(tokenizer.token(824) == nil && tokenizer.token(-1) == nil && tokenizer.id("no such token") == nil)
    }

    @Test func readsChatTemplatesFromWhereTheyCanBe() throws {
        #expect(try tokenizer("byte-level").chatTemplate == "{{ messages[0].content }}")
        let named = try tokenizer("qwen2")
        #expect(named.chatTemplate == "D")
        #expect(named.namedChatTemplates == ["tool_use": "T"])
        #expect(named.padToken == nil)

        let folder = try TemporaryFolder()
        let path = try folder.write(tokenizerJSON("qwen2").text(), to: "tokenizer.json")
        _ = try folder.write(#"{"chat_template": "old", "eos_token": "<|im_end|>"}"#, to: "tokenizer_config.json")
        _ = try folder.write("new", to: "chat_template.jinja")
        try FileWriting.makeFolder(folder.file("additional_chat_templates"))
        _ = try folder.write("rag", to: "additional_chat_templates/rag.jinja")
        let tokenizer = try Tokenizer(file: path)
        #expect(tokenizer.chatTemplate == "new")
        #expect(tokenizer.namedChatTemplates == ["rag": "rag"])
        #expect(
            tokenizer.files.keys.sorted() == [
                "additional_chat_templates/rag.jinja", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json",
            ])
    }

    @Test func filesGiveTheSameTokenizer() throws {
        let tokenizer = try tokenizer("mistral")
        #expect(tokenizer.token(try #require(tokenizer.bosToken)) == "<s>")
        let folder = try TemporaryFolder()
        for (name, bytes) in tokenizer.files { _ = try folder.write(bytes, to: name) }
        let copy = try Tokenizer(file: folder.file("tokenizer.json"))
        #expect(copy.contentHash == tokenizer.contentHash)
        #expect(
            try copy.encode("so it goes", addSpecialTokens: true)
                == tokenizer.encode("so it goes", addSpecialTokens: true))
        #expect(try tokenizerHash("gemma") != tokenizer.contentHash)
    }

    private func tokenizerHash(_ name: String) throws -> String { try tokenizer(name).contentHash }

    @Test func streamsBytesThatJoinToTheText() throws {
        let text = "The café 🙂 時計<|im_end|>\n"
        let bytes = try tokenizer("byte-level")
        #expect(try bytes.encode(text).flatMap(bytes.bytes(of:)) == Array(text.utf8))
        #expect(bytes.bytes(of: 100_000) == [])
        let pieces = try tokenizer("llama2")
        // What the normaliser puts in front is a token of its own kind: a space.
        #expect(try pieces.encode("a 🙂ẍ").flatMap(pieces.bytes(of:)) == Array(" a 🙂ẍ".utf8))
    }

    @Test func offsetsCoverEveryByte() throws {
        let text = "  It's 12:30,\n\n the café — 👩‍👩‍👧 is <|im_end|>  closed.  "
        for name in ["byte-level", "qwen2", "llama3", "llama2", "mistral", "gemma"] {
            let encoding = try tokenizer(name).encodeWithOffsets(text)
            var covered = 0
            for range in encoding.offsets {
                #expect(range.lowerBound <= covered, "\(name) leaves a gap at \(covered)")
                covered = max(covered, range.upperBound)
            }
            #expect(covered == text.utf8.count, "\(name)")
        }
    }

    @Test func threadsShareATokenizer() async throws {
        let tokenizer = try tokenizer("llama3")
        let text = String(repeating: "The ferryman's 365 boats, мост и 時計. ", count: 200)
        let expected = try tokenizer.encode(text)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 { group.addTask { try tokenizer.encode(text) == expected } }
            for try await isEqual in group { #expect(isEqual) }
        }
    }

    @Test func tokensThatOnlyLookEqualAreTwo() throws {
        // Swift's own strings call the first two equal.
        let folder = try TemporaryFolder()
        let text = """
            {"added_tokens": [{"id": 3, "content": "<e\u{301}>"}, {"id": 4, "content": "<\u{E9}>"}],
             "model": {"type": "BPE", "vocab": {"e\u{301}": 0, "\u{E9}": 1, "e": 2}, "merges": []}}
            """
        let tokenizer = try Tokenizer(file: folder.write(text, to: "tokenizer.json"))
        #expect(["e\u{301}", "\u{E9}", "<e\u{301}>", "<\u{E9}>"].map(tokenizer.id) == [0, 1, 3, 4])
        #expect(try tokenizer.encode("<\u{E9}>\u{E9}<e\u{301}>") == [4, 1, 3])
    }
}
