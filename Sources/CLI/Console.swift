import Glibc
import Recipes

/// Shows a run on standard error: a line that moves on a terminal, a line now and then elsewhere.
final class Console {
    private let isTerminal: Bool
    private var isLineOpen = false
    private var outline: RunOutline?
    private var lastPlainStep = 0
    /// What the policy was worth before training, and what it answered, where it was asked.
    private var before: (report: EvaluationReport, answer: RolloutReport)?
    private var answer: RolloutReport?
    /// Where the clock stood when the first step of this process ended, and that step: what the time left is reckoned from.
    private var firstStep: (step: Int, at: ContinuousClock.Instant)?

    /// A console on standard error.
    init(isTerminal: Bool = isatty(STDERR_FILENO) == 1) {
        self.isTerminal = isTerminal
    }

    /// Writes a line to standard error.
    static func say(_ text: String) { put(text + "\n") }

    /// Writes a question without ending its line.
    static func ask(_ text: String) { put(text) }

    /// Writes to standard error as it is.
    private static func put(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if written < 0 && errno != EINTR { return }
            rest = rest.dropFirst(max(0, written))
        }
    }

    /// Shows an event.
    func show(_ event: RunEvent) {
        switch event {
        case .note(let text): line(text)
        case .started(let outline): start(outline)
        case .step(let step): show(step)
        case .evaluated(let report):
            line(Self.text(of: report))
            compare(report)
        case .rolledOut(let report): if report.isEvaluation { answer = report }
        case .judged(let card): card.lines.forEach(line)
        case .scored(let tokens, let seconds):
            let rate = grouped(Int(Double(tokens) / seconds))
            line("scored \(grouped(tokens)) tokens in \(decimals(seconds, 1)) s: \(rate) tokens/s")
        case .saved(let path): line("saved \(path)")
        case .finished(let path, let seconds): line("done in \(Self.duration(seconds)): \(path)")
        }
    }

    private func start(_ outline: RunOutline) {
        self.outline = outline
        let share = 100 * Double(outline.trainableParameters) / Double(max(1, outline.parameters))
        let rows = outline.rows.map { grouped($0) + " rows" } ?? "streamed rows"
        let resumed = outline.firstStep > 0 ? ", going on after step \(outline.firstStep)" : ""
        line(
            "\(rows), \(outline.steps) steps\(resumed); training \(grouped(outline.trainableParameters)) of "
                + "\(grouped(outline.parameters)) parameters (\(decimals(share, 2)) %)")
        lastPlainStep = outline.firstStep
    }

    /// Shows an answer of the policy, and at the end the one that it gave before.
    private func compare(_ report: EvaluationReport) {
        guard report.score != nil, let answer else { return }
        if report.step == 0 { before = (report, answer) }
        line(Self.text(of: answer))
        guard report.step == outline?.steps, let before, let first = before.report.score, let last = report.score else {
            return
        }
        let kl = report.kl.map { ", KL \(decimals($0, 2)) nats an answer" } ?? ""
        line(
            "mean score \(decimals(first, 3)) before, \(decimals(last, 3)) after\(kl); the answer was “\(before.answer.answer)”"
        )
    }

    private func show(_ step: StepReport) {
        let text = Self.text(of: step, secondsLeft: secondsLeft(after: step))
        if isTerminal {
            Self.put("\r" + text + "\u{1B}[K")
            isLineOpen = true
        } else if step.step == step.steps || step.step >= lastPlainStep + max(1, step.steps / 20) {
            Self.say(text)
            lastPlainStep = step.step
        }
    }

    /// A whole line, below the moving one.
    private func line(_ text: String) {
        if isLineOpen { Self.put("\n") }
        isLineOpen = false
        Self.say(text)
    }

    private func secondsLeft(after step: StepReport) -> Double? {
        guard let first = firstStep, step.step > first.step else {
            firstStep = firstStep ?? (step.step, .now)
            return nil
        }
        let passed = (ContinuousClock.now - first.at) / .seconds(1)
        return passed / Double(step.step - first.step) * Double(step.steps - step.step)
    }

    /// `step 37/120 [######..............] loss 2.143, 3,214 tokens/s, 2 min left, 1.21 GB`
    static func text(of step: StepReport, secondsLeft: Double?) -> String {
        let done = 20 * step.step / max(1, step.steps)
        let bar = String(repeating: "#", count: done) + String(repeating: ".", count: 20 - done)
        let parts = [
            "step \(step.step)/\(step.steps) [\(bar)] loss \(decimals(step.loss, 4))",
            step.score.map { "score \(decimals($0, 3))" }, step.kl.map { "KL \(decimals($0, 2))" },
            grouped(Int(step.tokensPerSecond.rounded())) + " tokens/s", secondsLeft.map { duration($0) + " left" },
            decimals(Double(step.peakMemoryBytes) / 1e9, 2) + " GB",
        ]
        return parts.compactMap { $0 }.joined(separator: ", ")
    }

    /// `perplexity 12.345 ± 0.210 (nll 2.5132 ± 0.0170) over 12,345 tokens in 120 rows`
    static func text(of result: EvaluationResult) -> String {
        "perplexity \(decimals(result.perplexity, 3)) ± \(decimals(result.perplexityStandardError, 3)) "
            + "(nll \(decimals(result.nll, 4)) ± \(decimals(result.nllStandardError, 4))) "
            + "over \(grouped(result.tokens)) tokens in \(grouped(result.rows)) rows"
    }

    /// `72.0 % ± 2.8 of 250 pairs ranked correctly, margin 1.234 ± 0.120 nats by implicit_reward`
    static func text(of result: PairEvaluation) -> String {
        if let card = result.card { return card.lines.joined(separator: "\n") }
        return "\(decimals(100 * result.accuracy, 1)) % ± \(decimals(100 * result.accuracyStandardError, 1)) "
            + "of \(grouped(result.pairs)) pairs ranked correctly, margin \(decimals(result.margin, 3)) "
            + "± \(decimals(result.marginStandardError, 3)) nats by \(result.score.rawValue)"
    }

    /// `“What is bread?” “Bread is flour, water and heat.” (score 1.000)`
    static func text(of report: RolloutReport) -> String {
        "“\(report.prompt)” “\(report.answer)” (score \(decimals(report.score, 3)))"
    }

    static func text(of report: EvaluationReport) -> String {
        let when = report.step == 0 ? "before training" : "after step \(report.step)"
        if let score = report.score {
            let kl = report.kl.map { ", KL \(decimals($0, 2)) nats an answer" } ?? ""
            return "\(when): mean score \(decimals(score, 3))\(kl), over \(grouped(report.tokens)) tokens of answers"
        }
        let rewards = [
            report.margin.map { "loss \(decimals(report.loss, 4)), reward margin \(decimals($0, 4))" },
            report.accuracy.map { "\(decimals(100 * $0, 1)) % of pairs ranked correctly" },
        ].compactMap { $0.map { $0 + ", " } }.joined()
        guard report.tokens > 0 else { return "\(when): \(rewards.dropLast(2))" }
        return
            "\(when): \(rewards)perplexity \(decimals(report.perplexity, 3)) ± \(decimals(report.perplexityStandardError, 3)) "
            + "over \(grouped(report.tokens)) tokens"
    }

    /// `45 s`, `3 min 20 s`, `2 h 5 min`.
    static func duration(_ seconds: Double) -> String {
        let whole = Int(min(max(0, seconds), 1e9).rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}

/// A number with so many digits after the point.
func decimals(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e9 else { return "\(value)" }
    let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
    let units = Int((abs(value) * Double(scale)).rounded())
    let fraction = String(units % scale)
    let sign = value < 0 && units > 0 ? "-" : ""
    return "\(sign)\(units / scale)"
        + (digits > 0 ? "." + String(repeating: "0", count: digits - fraction.count) + fraction : "")
}

/// `12,345,678`.
func grouped(_ value: Int) -> String {
    let digits = Array(String(abs(value)))
    let groups = stride(from: digits.count, to: 0, by: -3).map { String(digits[max(0, $0 - 3)..<$0]) }.reversed()
    return (value < 0 ? "-" : "") + groups.joined(separator: ",")
}
