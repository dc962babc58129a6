/// What rows are read for: the same keys can mean one thing to one objective and another to the next.
public enum RowPurpose: String, Sendable, CaseIterable {
    /// To be learnt as they stand: conversations, prompts with completions, text.
    case supervised
    /// Two answers of which one is preferred.
    case pairs
    /// Answers that are desirable or not; a pair counts as one of each.
    case labels
    /// Prompts to be answered.
    case prompts

    /// What such rows are, as a phrase.
    var phrase: String {
        switch self {
        case .supervised: "rows to learn (messages, prompt/completion or text)"
        case .pairs: "preference pairs (chosen/rejected)"
        case .labels: "answers with a label, or preference pairs"
        case .prompts: "prompts"
        }
    }
}
