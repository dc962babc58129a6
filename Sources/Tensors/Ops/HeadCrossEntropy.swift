import CKernels

/// What the head says of each row with a target.
public struct TokenScores {
    /// `log p(target)`, natural logarithm.
    public var logProbabilities: [Float]
    /// `-Σ p log p` of the next-token distribution, in nats.
    public var entropies: [Float]
    /// 1 where the target is the most probable token, else 0.
    public var hits: [Float]
    /// The mean of the logits; empty unless asked for.
    public var meanLogits: [Float] = []
    /// `log Σ p²`; empty unless asked for.
    public var logSumSquares: [Float] = []

    init(count: Int, withMoments: Bool) {
        let zeros = [Float](repeating: 0, count: count)
        (logProbabilities, entropies, hits) = (zeros, zeros, zeros)
        if withMoments { (meanLogits, logSumSquares) = (zeros, zeros) }
    }
}

/// Bytes of logits that exist at once.
private let logitBytes = 64 << 20

/// Projects hidden rows to the vocabulary and scores their targets, a chunk of rows at a time: `[R, V]` never exists.
///
/// - Parameters:
///   - h: `[R, C]`, the rows that have a target.
///   - head: weight `[V, C]`, with its adapters.
///   - targets: R token ids.
///   - coefficients: `cᵢ` of the loss `L = Σ cᵢ · log p(targetᵢ)`; nil for scores alone. The gradient is computed in the same pass,
///     because the coefficients are known.
/// - Returns: L as a tensor of one element on the tape, and the scores.
public func headCrossEntropy(
    _ h: Tensor, head: HeadProjection, targets: [Int32], coefficients: [Float]? = nil
) -> (loss: Tensor?, scores: TokenScores) {
    checkTargets(targets, h, head)
    precondition(
        coefficients.map { $0.count == targets.count } ?? true, "\(targets.count) targets need as many coefficients")
    if case .composed = head, let coefficients {
        let scored = HeadScores(h, head: head, targets: targets)
        return (scored.loss(total(coefficients, scored.scores), coefficients: coefficients), scored.scores)
    }
    let wantsGradient = coefficients != nil && (h.isTracked || head.isTracked)
    var pass = HeadPass(h: h, head: head, wantsInput: wantsGradient && h.isTracked)
    pass.run(targets, coefficients: wantsGradient ? coefficients : nil)
    guard let coefficients else { return (nil, pass.scores) }
    let total = total(coefficients, pass.scores)
    let gradients = [pass.inputGradient] + pass.headGradients
    let loss = Tensor([Float(total)], shape: [1], device: h.device).recorded(from: [h] + head.tensors) { upstream in
        let factor = upstream.scalar
        return gradients.map { factor == 1 ? $0 : $0?.scaled(by: factor) }
    }
    return (loss, pass.scores)
}

/// `Σ cᵢ · log p(targetᵢ)`.
private func total(_ coefficients: [Float], _ scores: TokenScores) -> Double {
    zip(coefficients, scores.logProbabilities).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
}

private func checkTargets(_ targets: [Int32], _ h: Tensor, _ head: HeadProjection) {
    let vocabulary = head.vocabulary
    precondition(targets.count == h.rows, "\(targets.count) targets for hidden rows of shape \(h.shape)")
    precondition(targets.allSatisfy { $0 >= 0 && $0 < vocabulary }, "a target outside \(vocabulary) tokens")
}

/// Scores of a batch whose loss is a function of them, known only once all are there: preferences, policy gradients.
public struct HeadScores {
    /// Each row's scores.
    public let scores: TokenScores
    private let h: Tensor
    private let head: HeadProjection
    private let targets: [Int32]
    /// `d log p(targetᵢ) / d hᵢ`, from the same pass; nil where h needs no gradient, or the backward pass runs the head again.
    private let jacobian: Tensor?

    /// Projects hidden rows to the vocabulary and scores their targets, a chunk of rows at a time; see
    /// ``headCrossEntropy(_:head:targets:coefficients:)``.
    ///
    /// - Parameters:
    ///   - h: `[R, C]`, the rows that have a target.
    ///   - head: weight `[V, C]`, with its adapters.
    ///   - targets: R token ids.
    ///   - expectsEntropies: whether the loss will have a term in the entropies. The backward pass then runs the head again, as it does
    ///     where the head itself is trained.
    public init(_ h: Tensor, head: HeadProjection, targets: [Int32], expectsEntropies: Bool = false) {
        checkTargets(targets, h, head)
        self.h = h
        self.head = head
        self.targets = targets
        let keepsJacobian = h.isTracked && head.isFixedProduct && !expectsEntropies
        var pass = HeadPass(h: h, head: head, wantsInput: keepsJacobian, inputType: .f32, withMoments: true)
        // The head's own gradient is a sum over rows, which needs the coefficients: the backward pass runs the head again.
        pass.run(targets, coefficients: keepsJacobian ? [Float](repeating: 1, count: targets.count) : nil)
        scores = pass.scores
        jacobian = pass.inputGradient
    }

    /// A loss on the tape of the hidden rows.
    ///
    /// - Parameters:
    ///   - value: the loss.
    ///   - coefficients: `∂loss / ∂ log p(targetᵢ)`, one a row.
    ///   - entropyCoefficients: `∂loss / ∂ Hᵢ`, one a row, with `∂Hᵢ / ∂zᵢⱼ = −pⱼ (log pⱼ + Hᵢ)` by the logits z; empty for zeros.
    /// - Returns: the loss, a tensor of one element.
    public func loss(_ value: Double, coefficients: [Float], entropyCoefficients: [Float] = []) -> Tensor {
        precondition(
            coefficients.count == targets.count && [0, targets.count].contains(entropyCoefficients.count),
            "\(targets.count) targets, \(coefficients.count) and \(entropyCoefficients.count) coefficients")
        let hasEntropies = entropyCoefficients.contains { $0 != 0 }
        let (loss, inputs) = (Tensor([Float(value)], shape: [1], device: h.device), [h] + head.tensors)
        guard let tape = inputs.lazy.compactMap({ $0.position?.tape }).first ?? head.tape else { return loss }
        return tape.record(loss, inputs: inputs) { upstream in
            let factor = upstream.scalar
            let coefficients = coefficients.map { $0 * factor }
            if let jacobian, !hasEntropies {
                let scale = Tensor(coefficients, shape: [coefficients.count], device: h.device)
                return [jacobian.scaledRows(by: scale)] + head.tensors.map { _ in nil }
            }
            var pass = HeadPass(h: h, head: head, wantsInput: h.isTracked)
            pass.run(
                targets, coefficients: coefficients,
                entropyCoefficients: hasEntropies ? entropyCoefficients.map { $0 * factor } : nil)
            return [pass.inputGradient] + pass.headGradients
        }
    }
}

/// The state of one pass over the chunks.
private struct HeadPass {
    let h: Tensor
    let head: HeadProjection
    var scores: TokenScores
    let inputGradient: Tensor?
    var headGradients: [Tensor?]

    init(
        h: Tensor, head: HeadProjection, wantsInput: Bool, inputType: DType? = nil, withMoments: Bool = false
    ) {
        self.h = h.detached
        self.head = head
        scores = TokenScores(count: h.rows, withMoments: withMoments)
        inputGradient =
            wantsInput ? Tensor(uninitialized: h.shape, dtype: inputType ?? h.dtype, device: h.device) : nil
        headGradients = head.tensors.map { _ in nil }
    }

    /// Scores all rows, and turns them into gradients where there are coefficients.
    mutating func run(_ targets: [Int32], coefficients: [Float]?, entropyCoefficients: [Float]? = nil) {
        let chunk = max(16, min(256, logitBytes / (4 * head.vocabulary) / 16 * 16))
        for start in stride(from: 0, to: targets.count, by: chunk) {
            let rows = start..<min(start + chunk, targets.count)
            let part = Part(
                rows: rows, targets: Array(targets[rows]), coefficients: coefficients.map { Array($0[rows]) },
                entropyCoefficients: entropyCoefficients.map { Array($0[rows]) })
            switch head {
            case .product(let operands): run(operands, part)
            case .composed(let head): run(head, part)
            }
        }
    }

    /// The rows of a chunk.
    private struct Part {
        let rows: Range<Int>
        let targets: [Int32]
        let coefficients: [Float]?
        let entropyCoefficients: [Float]?
    }

    /// Adds to the gradients of the head's parameters on a tape of its own, which follows them.
    private mutating func run(_ head: ComposedHead, _ part: Part) {
        let tape = part.coefficients.map { _ in Tape() }
        let x = tape?.leaf(h[rows: part.rows]) ?? h[rows: part.rows]
        let logits = head.map(x, Array(head.rows[part.rows]), tape)
        let scored = logits.detached.copied()
        score(scored, part)
        tape?.backward(from: logits, gradient: scored)
        guard let dx = tape?.gradient(of: x), let inputGradient else { return }
        inputGradient[rows: part.rows].copyElements(from: dx.converted(to: inputGradient.dtype))
    }

    private mutating func run(_ head: LinearOperands, _ part: Part) {
        let (rows, coefficients) = (part.rows, part.coefficients)
        let x = h[rows: rows]
        let head = head.selecting(rows: Array(Int32(rows.lowerBound)..<Int32(rows.upperBound)))
        let (logits, hidden) = head.forward(x)
        score(logits, part)
        guard coefficients != nil else { return }
        let gradients = LinearGradient(
            layers: [head], hidden: [hidden], input: { x }, inputType: inputGradient?.dtype ?? x.dtype,
            wantsInput: inputGradient != nil)([
                logits
            ])
        if let dx = gradients[0], let inputGradient { inputGradient[rows: rows].copyElements(from: dx) }
        for (index, gradient) in gradients.dropFirst().enumerated() {
            guard let gradient else { continue }
            if let sum = headGradients[index] { sum.addInPlace(gradient) } else { headGradients[index] = gradient }
        }
    }

    /// Fills the scores of `rows`; `logits` become their gradient where there are coefficients.
    private mutating func score(_ logits: Tensor, _ part: Part) {
        func own(_ buffer: UnsafeMutableBufferPointer<Float>) -> UnsafeMutablePointer<Float>? {
            buffer.isEmpty ? nil : buffer.baseAddress.map { $0 + part.rows.lowerBound }
        }
        scores.withUnsafeMutableBuffers { logp, entropies, hits, means, squares in
            let out = target_scores(
                logp: own(logp), entropy: own(entropies), hits: own(hits), mean_logits: own(means),
                log_sum_squares: own(squares))
            logits.device.kernels.cross_entropy(
                out, logits.floats, part.targets, part.coefficients, part.entropyCoefficients,
                Int64(part.rows.count), Int64(logits.columns))
        }
    }
}

extension TokenScores {
    fileprivate typealias Buffer = UnsafeMutableBufferPointer<Float>

    fileprivate mutating func withUnsafeMutableBuffers(_ body: (Buffer, Buffer, Buffer, Buffer, Buffer) -> Void) {
        logProbabilities.withUnsafeMutableBufferPointer { logp in
            entropies.withUnsafeMutableBufferPointer { entropies in
                hits.withUnsafeMutableBufferPointer { hits in
                    meanLogits.withUnsafeMutableBufferPointer { means in
                        logSumSquares.withUnsafeMutableBufferPointer { body(logp, entropies, hits, means, $0) }
                    }
                }
            }
        }
    }
}

extension Tensor {
    /// Overwrites this tensor's elements.
    func copyElements(from other: Tensor) {
        precondition(shape == other.shape, "cannot copy shape \(other.shape) into \(shape)")
        raw.copyMemory(from: other.raw, byteCount: byteCount)
    }
}
