import Files
import Models
import TestSupport
import Testing
import Tokenizers

/// Ids, offsets and decoded texts against Hugging Face `tokenizers`.
@Suite struct GoldenTests {
    @Test(arguments: ["byte-level", "qwen2", "llama3", "llama2", "mistral", "gemma"])
    func agreesWithTheReference(_ name: String) throws {
        let goldens = try JSON(contentsOf: fixture("goldens.json"))
        let golden = Golden(texts: goldens["texts"], try #require(goldens["tokenizers"]?[name]))
        #expect(try golden.differences(try tokenizer(name), wider: name == "qwen2") == [])
    }

    @Test func eachComponentAgreesWithTheReference() throws {
        let goldens = try JSON(contentsOf: fixture("components.json"))
        let cases = try #require(goldens["cases"]?.array)
        #expect(cases.count > 40)
        let folder = try TemporaryFolder()
        for entry in cases {
            let name = try #require(entry["name"]?.string)
            var json = try tokenizerJSON(try #require(entry["base"]?.string))
            for (key, value) in entry["changes"]?.object ?? [:] { json = json.setting(key, to: value) }
            let tokenizer = try Tokenizer(file: folder.write(json.text(), to: "tokenizer.json"))
            // Offsets of the reference leave out what a normaliser removed or replaced; ours never do.
            let normalizes = entry["changes"]?["normalizer"] != nil
            let golden = Golden(texts: goldens["texts"], entry)
            #expect(try golden.differences(tokenizer, wider: normalizes) == [], "\(name)")
        }
    }

    @Test func everyLineOfTheSharedDataAgrees() throws {
        guard let data = Locations.shared("data") else {
            print("skipped: no ../shared/data beside the repository")
            return
        }
        let hashes = try #require(JSON(contentsOf: fixture("shared-data.json")).object)
        for (name, files) in hashes {
            guard let tokenizer = try tokenizerOfHashes(name) else {
                print("skipped: no Models/SmolLM2-135M-Instruct.gguf (make model)")
                continue
            }
            for (file, expected) in files.object ?? [:] {
                let text = String(decoding: try MappedFile("\(data)/\(file)").withBytes { Array($0) }, as: UTF8.self)
                let hash = ContentHash()
                for line in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false) {
                    let ids = try tokenizer.encode(String(Substring(line))) + [-1]
                    ids.map(\.littleEndian).withUnsafeBytes { hash.add($0) }
                }
                #expect(hash.hexadecimal == expected["hash"]?.string, "\(name), \(file)")
            }
        }
    }

    /// The tokenizer under a name; the real model's is the vocabulary in its GGUF file.
    private func tokenizerOfHashes(_ name: String) throws -> Tokenizer? {
        guard name == "SmolLM2-135M-Instruct" else { return try tokenizer(name) }
        return try Locations.model.map { try openCheckpoint($0).tokenizer() }
    }
}
