import Recipes

extension Comparison {
    /// A table, a model a line.
    var text: String {
        let width = (entries.map(\.name.count).max() ?? 0) + 2
        func padded(_ name: String) -> String { name + String(repeating: " ", count: max(1, width - name.count)) }
        var lines = ["\(padded("base"))\(Console.text(of: base))"]
        for entry in entries {
            lines.append(padded(entry.name) + Console.text(of: entry.result))
            lines.append(
                padded("")
                    + "nll \(signed(entry.difference)) ± \(decimals(entry.differenceStandardError, 4)) against the base; "
                    + "logits against the \(entry.logitsAgainst): max \(small(entry.logits.maximum)), mean \(small(entry.logits.mean)), "
                    + "KL \(small(entry.logits.meanKL))")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension MergeReport {
    /// What was written and how close it came.
    var text: String {
        let mean = isReward ? "\(small(logits.mean)) in the mean" : "\(small(logits.meanKL)) nats a token"
        return
            "merged \(layers) layers into \(output): the written model's \(isReward ? "rewards" : "logits") are within "
            + "\(small(logits.maximum)) of the adapter's, \(mean) over \(logits.rows) tokens"
            + (type == .nf4 ? ", changed by nf4" : "")
            + (isVerified ? "\n" : "; this misses the tolerance and was written by --force\n")
            + (comparison?.text ?? "")
    }
}

extension ExportReport {
    /// What was written and how close it came.
    var text: String {
        let written = "\(target.rawValue) in \(type)"
        guard let logits else { return "wrote \(layers) layers of the adapter to \(output): \(written)\n" }
        let merged = layers > 0 ? "merged \(layers) layers and wrote" : "wrote"
        return "\(merged) \(output): \(written); its logits are within \(small(logits.maximum)) of the model's, "
            + "\(small(logits.meanKL)) nats a token over \(logits.rows) tokens"
            + (isVerified != false ? "\n" : "; this misses the tolerance and was written by --force\n")
    }
}

extension CombineReport {
    /// What was written, and likelihoods where there are rows.
    var text: String {
        let names = inputs.map(\.path)
        var lines: [String] = []
        func line(_ name: String, _ result: EvaluationResult) { lines.append("\(Console.text(of: result))  \(name)") }
        if let base { line("base", base) }
        for (path, result) in inputs { if let result { line(path, result) } }
        for trial in trials {
            if let result = trial.result { line(trial.combination.description(of: names), result) }
        }
        let how = trials.first.map { $0.combination.description(of: names) } ?? ""
        lines.append("wrote \(layers) layers of rank \(rank) to \(output): \(how)")
        return lines.joined(separator: "\n") + "\n"
    }
}

extension GenerationReport {
    /// The answers, each under a line that says which it is.
    func text(samples: Int, showsAdapters: Bool) -> String {
        let stack = adapters.isEmpty ? NamedAdapter.none : adapters.joined(separator: "+")
        return answers.map { answer in
            let sample = samples > 1 ? ", sample \(answer.sample + 1)" : ""
            let active = showsAdapters ? ", \(stack)" : ""
            return "— prompt \(answer.prompt + 1)\(sample)\(active)\n\(answer.text)\n"
        }.joined()
    }

    /// `34 prompt tokens (310.2 a second), 256 new tokens (95.1 a second)`
    var speed: String {
        "\(grouped(statistics.promptTokens)) prompt tokens (\(decimals(promptTokensPerSecond, 1)) a second), "
            + "\(grouped(statistics.newTokens)) new tokens (\(decimals(newTokensPerSecond, 1)) a second)"
    }
}

extension RewardCard {
    /// What the card says, a thing a line.
    var lines: [String] {
        let interval = [accuracyInterval.lowerBound, accuracyInterval.upperBound].map { decimals(100 * $0, 1) }
        let shares = [longerPreferred, longerChosen].map { decimals(100 * $0, 1) + " %" }
        return [
            "\(decimals(100 * accuracy, 1)) % of \(grouped(pairs)) pairs ranked correctly "
                + "(95 % interval \(interval[0]) to \(interval[1])), "
                + "margin \(decimals(margin, 3)) ± \(decimals(marginStandardError, 3)) by score_head",
            "calibration error \(decimals(calibrationError, 3)): "
                + reliability.map { "\($0.pairs) at \(decimals($0.confidence, 2)) right \(decimals($0.accuracy, 2))" }
                .joined(separator: ", "),
            "reward and length of an answer: Pearson \(decimals(lengthPearson, 2)), Spearman \(decimals(lengthSpearman, 2)); "
                + "the longer one preferred in \(shares[0]) of pairs, chosen in \(shares[1])",
            "the same verdict with the answers swapped: \(decimals(100 * swappedAgreement, 1)) % of \(swappedPairs) pairs",
        ]
    }
}

extension BenchmarkReport {
    /// The figures, one a line.
    var text: String {
        """
        \(grouped(Int(tokensPerSecond.rounded()))) tokens/s, \(grouped(Int(trainedTokensPerSecond.rounded()))) of them trained
        \(decimals(Double(peakMemoryBytes) / 1e9, 2)) GB at most, \(decimals(loadSeconds, 2)) s to load
        \(decimals(multiplyAddsPerSecond / 1e9, 1)) of \(decimals(productRate / 1e9, 1)) billion multiply-adds a second \
        (\(decimals(100 * shareOfProductRate, 0)) % of this machine's own product rate)
        \(threads) threads, \(kernelPath)

        """ + timeByWork.map { "\(timeLine($0.work, $0.seconds))\n" }.joined()
    }

    /// `41.2 %  products`
    private func timeLine(_ work: String, _ seconds: Double) -> String {
        let share = decimals(100 * seconds / stepSeconds.reduce(0, +), 1)
        return String(repeating: " ", count: max(0, 5 - share.count)) + "\(share) %  \(work)"
    }
}

/// A number with its sign and four digits.
private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + decimals(value, 4) }

/// A small number in three digits: `1.23e-5`.
private func small(_ value: Double) -> String {
    guard value.isFinite, value > 0 else { return "\(value)" }
    var (mantissa, exponent) = (value, 0)
    while mantissa < 1 {
        mantissa *= 10
        exponent -= 1
    }
    return exponent >= -2 ? decimals(value, 3) : "\(decimals(mantissa, 2))e\(exponent)"
}

extension Inspection {
    /// The rows with their trained parts marked, then the counts.
    func text(isTerminal: Bool) -> String {
        let (open, close) = isTerminal ? ("\u{1B}[32m", "\u{1B}[0m") : ("[[", "]]")
        var lines: [String] = []
        for row in rows {
            lines.append("— row \(row.row + 1): \(row.tokens) tokens, \(row.trainedTokens) trained")
            lines.append(
                row.segments.map { segment in
                    let text = segment.isTrained ? open + segment.text + close : segment.text
                    return (segment.answer.map { "\n· \($0): " } ?? "") + text
                }.joined())
        }
        lines += summary
        lines += remarks.map { "note: \($0)" }
        lines += problems.map { "problem: \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    private var summary: [String] {
        let counts = statistics
        var lines = [
            "— \(grouped(counts.rows)) rows, \(grouped(counts.keptRows)) kept; \(grouped(counts.tokens)) tokens, the longest row \(grouped(counts.longestRow))",
            "rows that begin with BOS twice: \(counts.doubleBOSRows)",
            "cut at max_length: \(grouped(counts.truncatedRows)) rows, \(grouped(counts.truncatedTokens)) tokens; split: \(grouped(counts.splitRows)) rows",
        ]
        if !isOfPrompts {
            lines.insert(
                contentsOf: [
                    "trained: \(grouped(counts.trainedTokens)) tokens, \(decimals(100 * counts.trainedShare, 1)) % of those that can be predicted",
                    "rows whose last trained token ends the turn: \(decimals(100 * counts.turnEndingShare, 1)) %",
                ], at: 1)
        }
        if counts.sharedPromptTokens > 0 {
            let apart = counts.tokens + counts.sharedPromptTokens
            lines.append(
                "prompts shared by their answers: \(grouped(counts.tokens)) tokens instead of \(grouped(apart)), "
                    + "\(decimals(Double(apart) / Double(counts.tokens), 2)) times fewer")
        }
        for (reason, count) in counts.droppedRows.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            lines.append("left out: \(grouped(count)) rows, \(reason.rawValue)")
        }
        for (note, count) in counts.notes.sorted(by: { $0.key < $1.key }) {
            lines.append("note: \(count) rows: \(note)")
        }
        if let packingEfficiency {
            lines.append("packing fills \(decimals(100 * packingEfficiency, 1)) % of the batches")
        }
        if let batches { lines.append("\(grouped(batches)) batches an epoch") }
        return lines
    }
}
