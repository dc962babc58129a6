/// A tensor that belongs to a model: a frozen weight, or one that training changes.
public final class Parameter {
    /// The numbers. A trainable parameter is f32 and has memory of its own; a frozen one may be bf16 or mapped from a file.
    public var value: Tensor {
        didSet {
            precondition(
                value.shape == oldValue.shape, "a parameter of shape \(oldValue.shape) cannot become \(value.shape)")
        }
    }

    /// The sum of gradients since ``gradient`` was last set to nil; nil where the tape has not reached the parameter.
    public var gradient: Tensor?

    /// Whether a tape follows it.
    public var isTrainable: Bool {
        didSet { precondition(!isTrainable || value.dtype == .f32, "a \(value.dtype) parameter cannot be trained") }
    }

    /// Makes a parameter, frozen unless said otherwise.
    public init(_ value: Tensor, isTrainable: Bool = false) {
        precondition(!isTrainable || value.dtype == .f32, "a \(value.dtype) parameter cannot be trained")
        self.value = value
        self.isTrainable = isTrainable
    }

    /// Adds to the gradient.
    func accumulate(_ gradient: Tensor) {
        precondition(
            gradient.shape == value.shape, "a gradient of shape \(gradient.shape) for a parameter of \(value.shape)")
        // A copy, because the op that made the gradient may have handed the same tensor to another input too.
        if let sum = self.gradient { sum.addInPlace(gradient) } else { self.gradient = gradient.copied() }
    }
}
