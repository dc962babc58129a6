/// A tensor's place on the tape that recorded it.
struct TapePosition {
    // A tape holds closures that hold tensors: an owning reference back would be a cycle.
    unowned let tape: Tape
    let index: Int
}

/// The record of one forward pass, from which the backward pass runs.
///
/// Ops record themselves when an input is on a tape: output, inputs and a closure that turns the gradient of the output into those
/// of the inputs. ``backward(from:gradient:)`` runs the closures in the reverse of the order recorded, so the result does not depend
/// on anything but that order; each closure, with the activations it holds, is dropped as soon as it has run. What no gradient
/// reaches does not run.
///
/// ```swift
/// let tape = Tape()
/// let loss = model.loss(batch, ForwardContext(tape: tape))
/// tape.backward(from: loss)          // parameter.gradient now holds d loss / d parameter
/// ```
public final class Tape {
    private struct Entry {
        var inputs: [Int?]
        var outputs = 1
        var backward: (([Tensor?]) -> [Tensor?])?
        var parameter: Parameter?
    }

    private var entries: [Entry] = []
    private var gradients: [Int: Tensor] = [:]
    private var watched: [ObjectIdentifier: Int] = [:]
    private var leaves: Set<Int> = []

    /// An empty tape.
    public init() {}

    /// A parameter's value, followed by this tape if the parameter is trainable.
    public func watch(_ parameter: Parameter) -> Tensor {
        guard parameter.isTrainable else { return parameter.value }
        let index = watched[ObjectIdentifier(parameter)] ?? append(Entry(inputs: [], parameter: parameter))
        watched[ObjectIdentifier(parameter)] = index
        return positioned(parameter.value, index)
    }

    /// A tensor made a leaf of this tape, so that ``gradient(of:)`` can tell its gradient.
    public func leaf(_ tensor: Tensor) -> Tensor {
        let index = append(Entry(inputs: []))
        leaves.insert(index)
        return positioned(tensor.detached, index)
    }

    /// The gradient of a leaf after ``backward(from:gradient:)``; nil where none reached it.
    public func gradient(of leaf: Tensor) -> Tensor? {
        leaf.position.flatMap { gradients[$0.index] }
    }

    /// Puts an op's output on the tape.
    ///
    /// - Parameters:
    ///   - output: what the op computed.
    ///   - inputs: the tensors it was computed from; those that are on no tape get no gradient.
    ///   - backward: maps the gradient of the output to those of the inputs, in their order; nil where none is wanted.
    /// - Returns: the output with its place on the tape.
    public func record(_ output: Tensor, inputs: [Tensor], backward: @escaping (Tensor) -> [Tensor?]) -> Tensor {
        record([output], inputs: inputs) { gradients in gradients[0].map(backward) ?? [] }[0]
    }

    /// Puts the outputs of an op that has several on the tape; `backward` gets nil for those that no gradient reaches.
    func record(
        _ outputs: [Tensor], inputs: [Tensor], backward: @escaping ([Tensor?]) -> [Tensor?]
    ) -> [Tensor] {
        let indices = inputs.map { input -> Int? in
            guard let position = input.position else { return nil }
            precondition(position.tape === self, "an op mixes tensors of two tapes")
            return position.index
        }
        // The entry of the first output is met last in the backward pass, when the gradients of all are there.
        let first = append(Entry(inputs: indices, outputs: outputs.count, backward: backward))
        for _ in outputs.dropFirst() { _ = append(Entry(inputs: [], outputs: 0)) }
        return outputs.enumerated().map { positioned($1, first + $0) }
    }

    /// Runs the backward pass: adds d output / d parameter, times `gradient`, to each parameter's gradient.
    ///
    /// - Parameters:
    ///   - output: a tensor recorded on this tape.
    ///   - gradient: what flows into it, of its shape; ones where nil.
    public func backward(from output: Tensor, gradient: Tensor? = nil) {
        guard let position = output.position else { return }
        precondition(position.tape === self, "backward from a tensor of another tape")
        let seed = gradient ?? Tensor(repeating: 1, shape: output.shape, device: output.device)
        precondition(seed.shape == output.shape, "a gradient of shape \(seed.shape) into an output of \(output.shape)")
        accumulate(seed, at: position.index)
        for index in stride(from: position.index, through: 0, by: -1) where !leaves.contains(index) {
            let entry = entries[index]
            guard entry.outputs > 0 else { continue }
            entries[index].backward = nil
            let gradients = (index..<index + entry.outputs).map { self.gradients.removeValue(forKey: $0) }
            guard gradients.contains(where: { $0 != nil }) else { continue }
            if let parameter = entry.parameter, let gradient = gradients[0] { parameter.accumulate(gradient) }
            guard let backward = entry.backward else { continue }
            for (input, gradient) in zip(entry.inputs, backward(gradients)) {
                if let input, let gradient { accumulate(gradient, at: input) }
            }
        }
    }

    /// Runs `body` without recording it, and again on a tape of its own when the backward pass comes to it: only its inputs are kept.
    ///
    /// Recomputation gives the same bits as recording, because kernels do. `body` gets the tape to watch parameters with (nil the
    /// first time) and must be a pure function of it and the inputs.
    public func recomputed(_ inputs: [Tensor], _ body: @escaping (Tape?, [Tensor]) -> Tensor) -> Tensor {
        let kept = inputs.map(\.detached)
        let output = body(nil, kept)
        let isTracked = inputs.map(\.isTracked)
        return record(output.detached, inputs: inputs) { gradient in
            let inner = Tape()
            let start = zip(kept, isTracked).map { $1 ? inner.leaf($0) : $0 }
            inner.backward(from: body(inner, start), gradient: gradient)
            return start.map { inner.gradient(of: $0) }
        }
    }

    private func append(_ entry: Entry) -> Int {
        entries.append(entry)
        return entries.count - 1
    }

    private func positioned(_ tensor: Tensor, _ index: Int) -> Tensor {
        var result = tensor
        result.position = TapePosition(tape: self, index: index)
        return result
    }

    /// Adds without writing into `gradient`, which an op may have handed to two inputs.
    private func accumulate(_ gradient: Tensor, at index: Int) {
        if let sum = gradients[index] {
            gradients[index] = sum.detached + gradient.detached
        } else {
            gradients[index] = gradient
        }
    }
}

extension Tensor {
    /// Records an op's output on the tape of its inputs, if any of them is on one.
    func recorded(from inputs: [Tensor], backward: @escaping (Tensor) -> [Tensor?]) -> Tensor {
        guard let tape = inputs.lazy.compactMap({ $0.position?.tape }).first else { return self }
        return tape.record(self, inputs: inputs, backward: backward)
    }

    /// The tensor with a way to make it again. An op that needs it in its backward pass then keeps that way and not the numbers.
    func rebuilt(by make: @escaping () -> Tensor) -> Tensor {
        var copy = self
        copy.rebuild = make
        return copy
    }

    /// What an op keeps for its backward pass.
    var kept: () -> Tensor {
        if let rebuild { return rebuild }
        let tensor = detached
        return { tensor }
    }
}
