import CKernels

/// What the head says of each row with a target.
public struct TokenScores {
    /// `log p(target)`, natural logarithm.
    public var logProbabilities: [Float]
    /// `-Σ p log p` of the next-token distribution, in nats.
    public var entropies: [Float]
    /// 1 where the target is the most probable token, else 0.
    public var hits: [Float]
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
    _ h: Tensor, head: LinearOperands, targets: [Int32], coefficients: [Float]? = nil
) -> (loss: Tensor?, scores: TokenScores) {
    precondition(targets.count == h.rows, "\(targets.count) targets for hidden rows of shape \(h.shape)")
    precondition(
        coefficients.map { $0.count == targets.count } ?? true, "\(targets.count) targets need as many coefficients")
    precondition(targets.allSatisfy { $0 >= 0 && $0 < head.weight.rows }, "a target outside \(head.weight.rows) tokens")
    let wantsGradient = coefficients != nil && (h.isTracked || head.isTracked)
    var pass = HeadPass(h: h, head: head, wantsInput: wantsGradient && h.isTracked)
    let chunk = max(16, min(256, logitBytes / (4 * head.weight.rows) / 16 * 16))
    for start in stride(from: 0, to: targets.count, by: chunk) {
        let rows = start..<min(start + chunk, targets.count)
        pass.run(rows, targets: targets[rows], coefficients: wantsGradient ? coefficients?[rows] : nil)
    }
    guard let coefficients else { return (nil, pass.scores) }
    let total = zip(coefficients, pass.scores.logProbabilities).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let gradients = [pass.inputGradient] + pass.headGradients
    let loss = Tensor([Float(total)], shape: [1], device: h.device).recorded(from: [h] + head.tensors) { upstream in
        let factor = upstream.scalar
        return gradients.map { factor == 1 ? $0 : $0?.scaled(by: factor) }
    }
    return (loss, pass.scores)
}

/// The state of one pass over the chunks.
private struct HeadPass {
    let h: Tensor
    let head: LinearOperands
    var scores: TokenScores
    let inputGradient: Tensor?
    var headGradients: [Tensor?]

    init(h: Tensor, head: LinearOperands, wantsInput: Bool) {
        self.h = h.detached
        self.head = head
        let zeros = [Float](repeating: 0, count: h.rows)
        scores = TokenScores(logProbabilities: zeros, entropies: zeros, hits: zeros)
        inputGradient = wantsInput ? Tensor(uninitialized: h.shape, dtype: h.dtype, device: h.device) : nil
        headGradients = head.tensors.map { _ in nil }
    }

    mutating func run(_ rows: Range<Int>, targets: ArraySlice<Int32>, coefficients: ArraySlice<Float>?) {
        let x = h[rows: rows]
        let head = head.selecting(rows: Array(Int32(rows.lowerBound)..<Int32(rows.upperBound)))
        let (logits, hidden) = head.forward(x)
        score(logits, rows, Array(targets), coefficients.map(Array.init))
        guard coefficients != nil else { return }
        let gradients = LinearGradient(
            layers: [head], hidden: [hidden], input: { x }, inputType: x.dtype, wantsInput: inputGradient != nil)([
                logits
            ])
        if let dx = gradients[0], let inputGradient { inputGradient[rows: rows].copyElements(from: dx) }
        for (index, gradient) in gradients.dropFirst().enumerated() {
            guard let gradient else { continue }
            if let sum = headGradients[index] { sum.addInPlace(gradient) } else { headGradients[index] = gradient }
        }
    }

    /// Fills the scores of `rows`; `logits` become their gradient where there are coefficients.
    private mutating func score(_ logits: Tensor, _ rows: Range<Int>, _ targets: [Int32], _ coefficients: [Float]?) {
        scores.logProbabilities.withUnsafeMutableBufferPointer { logp in
            scores.entropies.withUnsafeMutableBufferPointer { entropies in
                scores.hits.withUnsafeMutableBufferPointer { hits in
                    logits.device.kernels.cross_entropy(
                        logp.baseAddress.map { $0 + rows.lowerBound },
                        entropies.baseAddress.map { $0 + rows.lowerBound },
                        hits.baseAddress.map { $0 + rows.lowerBound }, logits.floats, targets, coefficients,
                        Int64(rows.count), Int64(logits.columns))
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
