import Files
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

@Suite struct CheckpointTokenizerTests {
    /// The converter's metadata and the folder's tokenizer.json are two forms of one tokenizer.
    @Test(arguments: ["tiny-llama", "tiny-qwen2"])
    func bothFormsGiveTheSameIds(name: String) throws {
        let folder = try openCheckpoint(Locations.fixture("models/\(name)")).tokenizer()
        let gguf = try openCheckpoint(Locations.fixture("gguf/\(name).gguf")).tokenizer()
        let texts = [
            "Hello, world!", "  spaces\tand\n\nlines  ", "numbers 12345 and 3.14", "naïve café — “quotes” 🙂",
            "<|im_start|>user\nHi<|im_end|>\n",
        ]
        for text in texts {
            let ids = try folder.encode(text)
            #expect(!ids.isEmpty)
            #expect(try gguf.encode(text) == ids, "\(text)")
            #expect(gguf.decode(ids) == folder.decode(ids))
        }
        #expect(gguf.eosToken == folder.eosToken)
        #expect(gguf.chatTemplate != nil && gguf.chatTemplate == folder.chatTemplate)
    }

    @Test func aMissingTokenizerSaysWhatToDo() throws {
        let folder = try TemporaryFolder()
        try folder.write("{}", to: "config.json")
        try SafetensorsFolder.write([SafetensorsTensor("w", shape: [1], [1])], to: folder.path)
        let error = #expect(throws: InputError.self) { try openCheckpoint(folder.path).tokenizer() }
        #expect(error?.message == "has no tokenizer.json")
        let path = try folder.write(GGUFBuilder.small.file, to: "m.gguf")
        let fault = #expect(throws: InputError.self) { try openCheckpoint(path).tokenizer() }
        #expect(fault?.message == "holds no tokenizer")
    }

    @Test func metadataOfTheWrongKindNamesItsKey() throws {
        func key(_ name: String, _ type: UInt32, _ value: [UInt8]) throws -> InputError? {
            var builder = GGUFBuilder()
            builder.key("general.architecture", "llama")
            builder.key("tokenizer.ggml.model", "gpt2")
            let one = GGUFBuilder.bytes(UInt32(8)) + GGUFBuilder.bytes(UInt64(1)) + GGUFBuilder.bytes("a")
            if name != "tokenizer.ggml.tokens" { builder.key("tokenizer.ggml.tokens", 9, one) }
            builder.key(name, type, value)
            let folder = try TemporaryFolder()
            let path = try folder.write(builder.file, to: "m.gguf")
            return #expect(throws: InputError.self, "\(name)") { try openCheckpoint(path).tokenizer() }
        }
        let number = GGUFBuilder.bytes(UInt32(7))
        let booleans = GGUFBuilder.bytes(UInt32(7)) + GGUFBuilder.bytes(UInt64(1)) + [1]
        for (name, type, value) in [
            ("tokens", 4, number), ("scores", 9, booleans), ("token_type", 9, booleans), ("merges", 9, booleans),
            ("bos_token_id", 10, GGUFBuilder.bytes(UInt64(1) << 40)), ("add_bos_token", 4, number), ("pre", 4, number),
        ] as [(String, UInt32, [UInt8])] {
            let error = try key("tokenizer.ggml." + name, type, value)
            #expect(error?.place == "key 'tokenizer.ggml.\(name)'")
            #expect(error?.message.hasPrefix("is not ") == true)
        }
    }
}
