import Files
import TestSupport
import Tokenizers

/// What Hugging Face `tokenizers` made of some texts with one tokenizer.
struct Golden {
    var texts: [String]
    var ids: [[Int32]]
    /// Start and end of every token, flat.
    var offsets: [[Int]]
    var decoded: [String]?
    var skipped: [String]?

    init(texts: JSON?, _ json: JSON) {
        self.texts = strings(texts) ?? []
        ids = (json["ids"]?.array ?? []).map { Self.integers($0).map { Int32($0) } }
        offsets = (json["offsets"]?.array ?? []).map(Self.integers)
        decoded = strings(json["decoded"])
        skipped = strings(json["skipped"])
    }

    private static func integers(_ json: JSON) -> [Int] { (json.array ?? []).compactMap(\.integer) }

    /// Where a tokenizer does otherwise: one line a text. `wider` allows ranges that hold more than the golden ones, which a
    /// normaliser that joins characters gives: there, the golden ones leave marks out.
    func differences(_ tokenizer: Tokenizer, wider: Bool = false) throws -> [String] {
        var found = texts.isEmpty || ids.count != texts.count ? ["nothing to compare"] : []
        for (index, text) in texts.enumerated() {
            let encoding = try tokenizer.encodeWithOffsets(text, addSpecialTokens: true)
            if encoding.ids != ids[index] {
                found.append("\(text.debugDescription): ids \(encoding.ids), not \(ids[index])")
                continue
            }
            if try tokenizer.encode(text, addSpecialTokens: true) != encoding.ids {
                found.append("\(text.debugDescription): other ids without offsets")
            }
            let expected = stride(from: 0, to: offsets[index].count, by: 2).map {
                offsets[index][$0]..<offsets[index][$0 + 1]
            }
            let agrees = zip(encoding.offsets, expected).allSatisfy {
                $0 == $1 || wider && $0.lowerBound <= $1.lowerBound && $0.upperBound >= $1.upperBound
            }
            if !agrees || encoding.offsets.count != expected.count {
                found.append("\(text.debugDescription): offsets \(encoding.offsets), not \(expected)")
            }
            if let decoded, !tokenizer.decode(encoding.ids).utf8.elementsEqual(decoded[index].utf8) {
                found.append("\(text.debugDescription): decoded \(tokenizer.decode(encoding.ids).debugDescription)")
            }
            if let skipped {
                let plain = tokenizer.decode(encoding.ids, skipSpecialTokens: true)
                if !plain.utf8.elementsEqual(skipped[index].utf8) {
                    found.append("\(text.debugDescription): decoded without specials \(plain.debugDescription)")
                }
            }
        }
        return found
    }
}

/// The strings of an array.
func strings(_ json: JSON?) -> [String]? { json?.array.map { array in array.compactMap { $0.string } } }

/// A file of the tokenizers' fixtures.
func fixture(_ name: String) -> String { Locations.fixture("tokenizers/" + name) }

/// A tokenizer of the fixtures.
func tokenizer(_ name: String) throws -> Tokenizer { try Tokenizer(file: fixture("\(name)/tokenizer.json")) }

/// The same tokenizer as its file's JSON.
func tokenizerJSON(_ name: String) throws -> JSON { try JSON(contentsOf: fixture("\(name)/tokenizer.json")) }

extension JSON {
    /// The object with a member set, or removed.
    func setting(_ key: String, to value: JSON?) -> JSON {
        guard case .object(var members) = self else { return self }
        members[key] = value
        return .object(members)
    }
}
