import Datasets
import Files

/// A prompt to be answered.
public struct RolloutPrompt: Hashable, Sendable {
    /// What the model reads, as token ids.
    public var tokens: [Int32]
    /// The prompt's text, for rewards and for the reader.
    public var text: String
    /// What the row says the answer should be; nil where it says nothing.
    public var reference: String?

    /// Makes a prompt.
    public init(tokens: [Int32], text: String, reference: String? = nil) {
        self.tokens = tokens
        self.text = text
        self.reference = reference
    }
}

/// What is known of one answer of a rollout: all that training on it needs.
public struct JudgedAnswer: Hashable, Sendable {
    /// The answer's text.
    public var text: String
    /// Whether a stop token ended it.
    public var isStopped: Bool
    /// What each reward gave, unweighted.
    public var scores: [Double]
    /// What they come to, penalties for its form included.
    public var score: Double
    /// `log p` of each token under the policy that wrote it, computed as training computes it.
    public var old: [Float]
    /// The same under the reference model; empty where none is asked for.
    public var reference: [Float]
    /// What the value head expected before each token; empty where there is none.
    public var values: [Float]
    /// How much better each token was than expected.
    public var advantages: [Float] = []
    /// What the value head should have expected; empty where there is none.
    public var returns: [Float] = []

    /// How far the policy is from its reference over the answer, `Σ log π − log ρ`; nil where there is no reference.
    public var divergence: Double? { reference.isEmpty ? nil : old.total - reference.total }

    /// Makes an answer of which the advantages are still to be found.
    public init(
        text: String, isStopped: Bool, scores: [Double], score: Double, old: [Float], reference: [Float] = [],
        values: [Float] = []
    ) {
        self.text = text
        self.isStopped = isStopped
        self.scores = scores
        self.score = score
        self.old = old
        self.reference = reference
        self.values = values
    }
}

/// Prompts with answers of the policy, judged: what some steps train on.
public struct Rollout: Hashable, Sendable {
    /// Its number, from 0.
    public var number: Int
    /// The prompts with their answers. `row` is the index here.
    public var examples: [Example]
    /// The prompts' texts.
    public var prompts: [String]
    /// By example: what is known of its answers.
    public var answers: [[JudgedAnswer]]
    /// What it measured, for the metrics of its steps.
    public var metrics: [String: Double] = [:]

    /// Makes a rollout.
    public init(number: Int, examples: [Example], prompts: [String], answers: [[JudgedAnswer]]) {
        precondition(
            examples.count == answers.count && examples.count == prompts.count,
            "\(examples.count) examples, \(prompts.count) prompts, the answers of \(answers.count)")
        self.number = number
        self.examples = examples
        self.prompts = prompts
        self.answers = answers
    }

    /// All answers, in order.
    public var allAnswers: [JudgedAnswer] { answers.flatMap { $0 } }
}

// A checkpoint in the middle of a rollout holds it: the weights that wrote it are gone.

extension Rollout {
    var json: JSON {
        [
            "number": .integer(number),
            "examples": .array(
                zip(examples, prompts).map { example, prompt in
                    [
                        "tokens": .array(example.tokens.map { .integer(Int($0)) }),
                        "answers": .array(example.answers.map { .integer($0) }), "prompt": .string(prompt),
                    ]
                }),
            "answers": .array(answers.map { .array($0.map(\.json)) }),
            "metrics": JSON(members: metrics.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }),
        ]
    }

    init(_ json: JSON) throws {
        let fault = InputError("is no rollout", place: "`batches`")
        guard let number = json["number"]?.integer, let examples = json["examples"]?.array,
            let answers = json["answers"]?.array, let metrics = json["metrics"]?.object
        else { throw fault }
        self.init(
            number: number,
            examples: try examples.enumerated().map { row, json in
                let (tokens, starts) = (json.integers("tokens"), json.integers("answers"))
                guard let first = starts.first, first > 0, zip([0] + starts, starts + [tokens.count]).allSatisfy(<=)
                else { throw fault }
                return Example(prompt: tokens[..<first].map(Int32.init), row: row, tokens.map(Int32.init), starts)
            },
            prompts: examples.map { $0["prompt"]?.string ?? "" },
            answers: try answers.map { try ($0.array ?? []).map(JudgedAnswer.init) })
        self.metrics = metrics.elements.reduce(into: [:]) { $0[$1.key] = $1.value.number }
    }
}

extension JudgedAnswer {
    fileprivate var json: JSON {
        func floats(_ values: [Float]) -> JSON { .array(values.map { .number(Double($0)) }) }
        return [
            "text": .string(text), "stopped": .bool(isStopped), "score": .number(score),
            "scores": .array(scores.map { .number($0) }), "old": floats(old), "reference": floats(reference),
            "values": floats(values), "advantages": floats(advantages), "returns": floats(returns),
        ]
    }

    fileprivate init(_ json: JSON) throws {
        guard let text = json["text"]?.string, let isStopped = json["stopped"]?.bool, let score = json["score"]?.number
        else { throw InputError("is no rollout", place: "`batches`") }
        func floats(_ key: String) -> [Float] { (json[key]?.array ?? []).compactMap { $0.number.map { Float($0) } } }
        self.init(
            text: text, isStopped: isStopped, scores: (json["scores"]?.array ?? []).compactMap(\.number), score: score,
            old: floats("old"), reference: floats("reference"), values: floats("values"))
        advantages = floats("advantages")
        returns = floats("returns")
    }
}

extension JSON {
    fileprivate func integers(_ key: String) -> [Int] { (self[key]?.array ?? []).compactMap(\.integer) }
}

extension Example {
    /// A prompt with answers of which every token is a target.
    fileprivate init(prompt: [Int32], row: Int, _ tokens: [Int32], _ starts: [Int]) {
        self.init(
            tokens: tokens, isTarget: tokens.indices.map { $0 >= prompt.count }, row: row, answers: starts)
    }

    /// A prompt with answers of which every token is a target.
    public init(prompt: [Int32], answers: [[Int32]], row: Int) {
        var starts: [Int] = []
        var tokens = prompt
        for answer in answers {
            starts.append(tokens.count)
            tokens += answer
        }
        self.init(prompt: prompt, row: row, tokens, starts)
    }
}
