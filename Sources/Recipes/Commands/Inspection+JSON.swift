import Datasets
import Files

extension Inspection {
    /// The inspection as an object: counts, shares, rendered rows and problems.
    public var json: JSON {
        [
            "rows": .array(
                rows.map { row in
                    [
                        "row": .integer(row.row + 1), "tokens": .integer(row.tokens),
                        "trained_tokens": .integer(row.trainedTokens),
                        "segments": .array(
                            row.segments.map { segment in
                                let (text, trained) = (JSON.string(segment.text), JSON.bool(segment.isTrained))
                                guard let answer = segment.answer else { return ["text": text, "trained": trained] }
                                return ["text": text, "trained": trained, "answer": .string(answer)]
                            }),
                    ]
                }),
            "statistics": statistics.json, "trained_share": .number(statistics.trainedShare),
            "turn_ending_share": .number(statistics.turnEndingShare),
            "packing_efficiency": packingEfficiency.map { .number($0) } ?? nil,
            "batches": batches.map { .integer($0) } ?? nil, "problems": .array(problems.map { .string($0) }),
            "remarks": .array(remarks.map { .string($0) }),
        ]
    }
}
