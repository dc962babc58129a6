/// One text on its way through the stages.
struct EncodingRun {
    private let pipeline: Pipeline
    private let withOffsets: Bool
    /// What has been encoded so far.
    private(set) var encoding = Encoding()
    private var tokens: [WordCache.Token] = []

    init(_ pipeline: Pipeline, withOffsets: Bool) {
        self.pipeline = pipeline
        self.withOffsets = withOffsets
    }

    /// Encodes a whole text.
    mutating func encode(_ bytes: UnsafeBufferPointer<UInt8>, _ scratch: inout EncodingScratch) {
        for part in pipeline.added.partsOfWritten(bytes, &scratch.classes) {
            if let token = part.token {
                append(token, part.range)
                continue
            }
            let text = AlignedText(Array(bytes[part.range]), origin: part.range.lowerBound, tracked: withOffsets)
            encodeNormalized(pipeline.normalizer?.apply(text, &scratch) ?? text, &scratch)
        }
    }

    private mutating func encodeNormalized(_ text: AlignedText, _ scratch: inout EncodingScratch) {
        guard pipeline.added.hasNormalized else {
            encodeText(text, &scratch)
            return
        }
        let parts = text.bytes.withUnsafeBufferPointer { pipeline.added.partsOfNormalized($0, &scratch.classes) }
        for part in parts {
            if let token = part.token {
                append(token, withOffsets ? text.source(of: part.range) : 0..<0)
            } else {
                encodeText(text.slice(part.range), &scratch)
            }
        }
    }

    private mutating func encodeText(_ text: AlignedText, _ scratch: inout EncodingScratch) {
        if text.bytes.isEmpty { return }
        let preTokenizer = pipeline.preTokenizer
        let (text, pieces) = preTokenizer.apply(text, isStart: text.origin == 0, &scratch)
        let model = pipeline.model
        tokens.removeAll(keepingCapacity: true)
        var ends = pieces
        text.bytes.withUnsafeBufferPointer { bytes in
            if model.isCutBeforeMetaspace && !preTokenizer.yieldsBytes { ends = Self.cutBeforeMetaspace(bytes, pieces) }
            model.encode(bytes, ends, asBytes: preTokenizer.yieldsBytes, &scratch, into: &tokens)
        }
        encoding.ids.reserveCapacity(encoding.ids.count + tokens.count)
        for token in tokens where token.id >= 0 { encoding.ids.append(token.id) }
        if withOffsets { appendOffsets(text, ends) }
    }

    /// Appends the source ranges of the tokens, whose lengths add up to the pieces'.
    private mutating func appendOffsets(_ text: AlignedText, _ pieces: [Range<Int>]) {
        var place = 0
        var piece = pieces.startIndex
        for token in tokens {
            while place >= pieces[piece].upperBound { piece += 1 }
            place = max(place, pieces[piece].lowerBound)
            let end = place + Int(token.length)
            if token.id >= 0 { encoding.offsets.append(text.source(of: place..<end)) }
            place = end
        }
    }

    private mutating func append(_ token: Int32, _ range: Range<Int>) {
        encoding.ids.append(token)
        if withOffsets { encoding.offsets.append(range) }
    }

    /// Cuts pieces before each `▁` that follows something else.
    private static func cutBeforeMetaspace(
        _ bytes: UnsafeBufferPointer<UInt8>, _ pieces: [Range<Int>]
    ) -> [Range<Int>] {
        let mark = BytePairEncoding.metaspace
        func isMark(_ index: Int) -> Bool {
            bytes[index] == mark[0] && bytes[index + 1] == mark[1] && bytes[index + 2] == mark[2]
        }
        var result: [Range<Int>] = []
        for piece in pieces {
            var start = piece.lowerBound
            var index = start
            var followsMark = true
            while index < piece.upperBound {
                let found = isMark(index)
                if found && !followsMark {
                    result.append(start..<index)
                    start = index
                }
                followsMark = found
                index += characterLength(bytes[index])
            }
            result.append(start..<piece.upperBound)
        }
        return result
    }
}
