import Files
import Foundation
import TestSupport
import Testing
import Tokenizers

/// The hand-written scanners and tables against the slow, obvious ways.
@Suite struct PatternTests {
    /// A tokenizer that cuts by a pattern and knows no token, so that each piece is one unknown token and offsets show the pieces.
    /// Written in parentheses a pattern is not recognised, so that the regular expression runs.
    private func tokenizer(_ pattern: String, in folder: TemporaryFolder) throws -> Tokenizer {
        let split: JSON = [
            "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
        ]
        let raw: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]
        let json = try tokenizerJSON("byte-level").setting("added_tokens", to: nil)
            .setting("pre_tokenizer", to: ["type": "Sequence", "pretokenizers": [split, raw]])
            .setting("model", to: ["vocab": ["?": 0], "merges": [], "unk_token": "?", "fuse_unk": true])
        return try Tokenizer(file: folder.write(json.text(), to: "tokenizer.json"))
    }

    private static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    private static let start = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
    private static let rest = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    @Test(arguments: [gpt2, start + #"\p{N}{1,3}"# + rest, start + #"\p{N}"# + rest])
    func scannersAgreeWithTheirExpressions(_ pattern: String) throws {
        let folder = try TemporaryFolder()
        let scanned = try tokenizer(pattern, in: folder)
        let matched = try tokenizer("(?:\(pattern))", in: folder)
        var generator = SplitMix(state: 11)
        let alphabet = Array(
            "'''sStTrReEvVmMlLdDſK  aeéж時7٣½Ⅷ²\n\n\r\t\u{A0}\u{3000}\u{85}\u{2028}.,!-_🙂\u{301}\u{200D}\u{180E}"
                .unicodeScalars)
        for _ in 0..<4000 {
            var text = ""
            for _ in 0..<Int.random(in: 1...24, using: &generator) {
                text.unicodeScalars.append(alphabet[Int.random(in: 0..<alphabet.count, using: &generator)])
            }
            let pieces = try matched.encodeWithOffsets(text).offsets
            #expect(try scanned.encodeWithOffsets(text).offsets == pieces, "\(text.debugDescription)")
        }
    }

    @Test func composedTextIsInertWhereItIsSaidToBe() throws {
        // What the fast path of NFC passes over must be what NFC leaves alone, alone and after any letter.
        let folder = try TemporaryFolder()
        let json = try tokenizerJSON("byte-level").setting("added_tokens", to: nil)
            .setting("pre_tokenizer", to: ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false])
            .setting("normalizer", to: ["type": "NFC"])
        let tokenizer = try Tokenizer(file: folder.write(json.text(), to: "tokenizer.json"))
        var wrong: [String] = []
        for value in UInt32(0x80)...0x2FFFF {
            guard let scalar = Unicode.Scalar(value), scalar.properties.generalCategory != .unassigned else { continue }
            for text in [
                String(Character(scalar)), "e\(scalar)", "\u{1100}\(scalar)", "\(scalar)\u{301}", "\(scalar)\u{11A8}",
            ] {
                let composed = text.precomposedStringWithCanonicalMapping
                if try !tokenizer.decode(tokenizer.encode(text)).utf8.elementsEqual(composed.utf8) {
                    wrong.append(text.debugDescription)
                }
            }
        }
        #expect(wrong == [])
    }
}

/// A small generator of numbers with a seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
