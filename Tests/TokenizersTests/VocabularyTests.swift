import Files
import TestSupport
import Testing
import Tokenizers

/// Tokenizers made from what a GGUF file holds.
@Suite struct VocabularyTests {
    /// The vocabulary that a converter writes for a byte-level tokenizer.json.
    private func vocabulary(of name: String, pre: String) throws -> TokenizerVocabulary {
        let json = try tokenizerJSON(name)
        let model = try #require(json["model"])
        let added = json["added_tokens"]?.array ?? []
        var tokens: [Int: String] = [:]
        for (token, id) in model["vocab"]?.object ?? [:] { tokens[try #require(id.integer)] = token }
        for entry in added { tokens[try #require(entry["id"]?.integer)] = entry["content"]?.string }
        var vocabulary = TokenizerVocabulary(
            model: "gpt2", tokens: (0..<tokens.count).map { tokens[$0] ?? "missing" })
        vocabulary.pre = pre
        var types = [Int32](repeating: 1, count: tokens.count)
        for entry in added { types[entry["id"]?.integer ?? 0] = entry["special"]?.bool == true ? 3 : 4 }
        vocabulary.tokenTypes = types
        vocabulary.merges = (model["merges"]?.array ?? []).map {
            $0.string ?? ($0.array ?? []).compactMap(\.string).joined(separator: " ")
        }
        return vocabulary
    }

    @Test func byteLevelVocabulariesAgreeWithTheirFiles() throws {
        let texts = strings(try JSON(contentsOf: fixture("goldens.json"))["texts"]) ?? []
        for (name, pre) in [("byte-level", "smollm"), ("qwen2", "qwen2"), ("llama3", "llama-bpe")] {
            var vocabulary = try vocabulary(of: name, pre: pre)
            vocabulary.bos = 0
            vocabulary.addBOS = name == "llama3"
            let made = try Tokenizer(vocabulary)
            let read = try tokenizer(name)
            // GGUF does not say how added tokens treat white space, words and forms.
            for text in texts where !["<sep>", "<mask>", "word", "caf", "Word"].contains(where: text.contains) {
                #expect(
                    try made.encode(text, addSpecialTokens: true) == read.encode(text, addSpecialTokens: true),
                    "\(name): \(text.debugDescription)")
            }
        }
    }

    @Test func scoresBecomeTheMergesOfTransformers() throws {
        let json = try JSON(contentsOf: fixture("scored.json"))
        var vocabulary = TokenizerVocabulary(
            model: "llama", tokens: strings(json["tokens"]) ?? [])
        vocabulary.scores = json["scores"]?.array?.compactMap(\.number).map { Float($0) }
        vocabulary.tokenTypes = json["types"]?.array?.compactMap(\.integer).map { Int32($0) }
        vocabulary.chatTemplate = "{{ bos_token }}"
        let tokenizer = try Tokenizer(vocabulary)
        let texts = try JSON(contentsOf: fixture("goldens.json"))["texts"]
        #expect(try Golden(texts: texts, json).differences(tokenizer) == [])
        #expect(tokenizer.bosToken == 1 && tokenizer.eosToken == 2 && tokenizer.unknownToken == 0)
        #expect(tokenizer.chatTemplate == "{{ bos_token }}")
    }

    @Test func itsFilesGiveTheSameTokenizer() throws {
        var vocabulary = try vocabulary(of: "byte-level", pre: "smollm")
        (vocabulary.bos, vocabulary.eos, vocabulary.chatTemplate) = (1, 2, "T")
        vocabulary.addEOS = true
        let made = try Tokenizer(vocabulary)
        let folder = try TemporaryFolder()
        for (name, bytes) in made.files { _ = try folder.write(bytes, to: name) }
        let read = try Tokenizer(file: folder.file("tokenizer.json"))
        let text = "\u{0}\n\"quoted\" \\ café<|im_end|> 12 words"
        #expect(try read.encode(text, addSpecialTokens: true) == made.encode(text, addSpecialTokens: true))
        #expect(try made.encode(text, addSpecialTokens: true).last == 2)
        #expect(read.bosToken == 1 && read.eosToken == 2 && read.chatTemplate == "T")
        #expect(read.contentHash == made.contentHash)
    }

    @Test func spaceInFrontIsASetting() throws {
        var vocabulary = TokenizerVocabulary(model: "llama", tokens: ["<unk>", "<s>", "</s>", "▁", "a", "▁a"])
        vocabulary.scores = [0, 0, 0, -1, -2, -3]
        vocabulary.tokenTypes = [2, 3, 3, 1, 1, 1]
        #expect(try Tokenizer(vocabulary).encode("a a", addSpecialTokens: true) == [1, 5, 5])
        vocabulary.addSpacePrefix = false
        vocabulary.addBOS = false
        #expect(try Tokenizer(vocabulary).encode("a a", addSpecialTokens: true) == [4, 5])
        #expect(try Tokenizer(vocabulary).decode([4, 5]) == "a a")
    }

    private func settingMerge(_ index: Int, _ merge: String) -> (inout TokenizerVocabulary) -> Void {
        { $0.merges?[index] = merge }
    }

    @Test func faultsNameTheKey() throws {
        let good = try vocabulary(of: "byte-level", pre: "smollm")
        func fault(_ change: (inout TokenizerVocabulary) -> Void) -> String {
            var vocabulary = good
            change(&vocabulary)
            do {
                _ = try Tokenizer(vocabulary)
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(
            fault { $0.pre = "smollm9" }.hasPrefix(
                #"tokenizer.ggml.pre: the pre-tokenizer "smollm9" is not known. known are "#))
        #expect(
            fault { $0.model = "t5" }.hasPrefix(#"tokenizer.ggml.model: the tokenizer model "t5" is not supported"#))
        #expect(fault { $0.merges = nil } == "tokenizer.ggml.merges: is missing")
        #expect(fault(settingMerge(3, "a nowhere")).hasPrefix("tokenizer.ggml.merges[3]: "))
        #expect(fault(settingMerge(0, "a")).hasPrefix("tokenizer.ggml.merges[0]: "))
        #expect(fault { $0.tokenTypes = [1] }.hasPrefix("tokenizer.ggml.token_type: holds 1 types for"))
        #expect(fault { $0.tokens[5] = $0.tokens[6] }.hasPrefix("tokenizer.ggml.tokens[6]: "))
        #expect(fault { $0.tokens = [] } == "tokenizer.ggml.tokens: holds 0 tokens")
        #expect(fault { $0.eos = 70_000 } == "tokenizer.ggml.eos_token_id: the id 70000 is no token's")
        #expect(fault { $0.unknown = -2 } == "tokenizer.ggml.unknown_token_id: the id -2 is no token's")
        #expect(fault { $0.addBOS = true }.hasPrefix("tokenizer.ggml.bos_token_id: "))
        #expect(fault { $0.model = "llama" }.hasPrefix("tokenizer.ggml.scores: holds 0 scores"))
        #expect(
            fault {
                $0.model = "llama"
                $0.scores = [Float](repeating: .nan, count: $0.tokens.count)
            }.hasPrefix("tokenizer.ggml.scores: "))
    }
}
