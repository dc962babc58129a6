import Foundation

/// A Unicode normalisation form, applied to the few places of a text that it can change.
enum UnicodeForm: String, Sendable, CaseIterable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    /// The text in this form. New bytes stand for the whole character cluster that they came from.
    func apply(_ text: AlignedText) -> AlignedText {
        var rewriter: TextRewriter?
        var copied = 0
        for range in changeableRanges(text.bytes) {
            let old = String(decoding: text.bytes[range], as: UTF8.self)
            let new = normalised(old)
            if new.utf8.elementsEqual(old.utf8) { continue }
            var output = rewriter ?? TextRewriter(text)
            output.copy(copied..<range.lowerBound)
            write(old, new, at: range, into: &output)
            copied = range.upperBound
            rewriter = output
        }
        guard var rewriter else { return text }
        rewriter.copy(copied..<text.bytes.count)
        return rewriter.finish()
    }

    /// Writes a changed stretch cluster by cluster, so that each keeps its own place, where clusters can be normalised apart.
    private func write(_ old: String, _ new: String, at range: Range<Int>, into output: inout TextRewriter) {
        let clusters = old.map { (old: String($0), new: normalised(String($0))) }
        guard clusters.flatMap({ Array($0.new.utf8) }).elementsEqual(new.utf8) else {
            output.write(new.utf8, for: range)
            return
        }
        var start = range.lowerBound
        for cluster in clusters {
            let source = start..<start + cluster.old.utf8.count
            if cluster.old.utf8.elementsEqual(cluster.new.utf8) {
                output.copy(source)
            } else {
                output.write(cluster.new.utf8, for: source)
            }
            start = source.upperBound
        }
    }

    private func normalised(_ text: String) -> String {
        switch self {
        case .nfc: text.precomposedStringWithCanonicalMapping
        case .nfd: text.decomposedStringWithCanonicalMapping
        case .nfkc: text.precomposedStringWithCompatibilityMapping
        case .nfkd: text.decomposedStringWithCompatibilityMapping
        }
    }

    /// The stretches outside which the form changes nothing: each run of characters that are not inert, with the one before it.
    private func changeableRanges(_ bytes: [UInt8]) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            var previous = 0
            while index < buffer.count {
                if buffer[index] < 0x80 {
                    previous = index
                    index += 1
                    continue
                }
                let (scalar, length) = decodeScalar(buffer, index)
                if !isInert(scalar) {
                    if let last = ranges.last, last.upperBound == index {
                        ranges[ranges.count - 1] = last.lowerBound..<index + length
                    } else {
                        ranges.append(previous..<index + length)
                    }
                }
                previous = index
                index += length
            }
        }
        return ranges
    }

    /// Whether a character stays as it is and takes no part in its neighbours' composition. ASCII always does.
    ///
    /// For the other forms only ASCII is taken to; they are rare in tokenizers of language models.
    private func isInert(_ scalar: UInt32) -> Bool {
        scalar < 0x80 || self == .nfc && (scalar < 0x300 || Self.composedInert.contains { $0.contains(scalar) })
    }

    /// Blocks in which every character is its own NFC, has combining class 0 and is no second half of a composition.
    /// A test goes through all of them.
    static let composedInert: [ClosedRange<UInt32>] = [
        0x4E00...0x9FFF, 0x3041...0x3096, 0x30A0...0x30FF, 0xAC00...0xD7A3, 0x0400...0x0482, 0x048A...0x052F,
        0x05D0...0x05EA, 0x0620...0x064A, 0x0660...0x066F, 0x0E01...0x0E37, 0x0E3F...0x0E47, 0x0904...0x093B,
        0x0391...0x03CE, 0x1EA0...0x1EF9, 0x2010...0x205F, 0x20A0...0x20BF, 0x2190...0x21FF, 0x2500...0x27BF,
        0x3001...0x3029, 0x3400...0x4DBF, 0xFF01...0xFFEF, 0x1F000...0x1FAFF, 0x20000...0x2A6DF,
    ]
}
