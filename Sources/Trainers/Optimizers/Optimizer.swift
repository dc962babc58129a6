import Layers
import Tensors

/// Turns gradients into changes of weights.
///
/// Its state is a list of named tensors beside the step count, so that a checkpoint can hold any optimizer.
public protocol Optimizer: AnyObject {
    /// Changes every parameter that has a gradient.
    ///
    /// - Parameters:
    ///   - parameters: what training changes, with their paths.
    ///   - learningRate: of this step.
    ///   - gradientScale: multiplies every gradient first (clipping).
    func step(_ parameters: [(path: String, parameter: Parameter)], learningRate: Double, gradientScale: Float)
    /// The number of steps taken.
    var stepCount: Int { get set }
    /// The state, by name.
    var state: [String: Tensor] { get set }
}

/// Whether weight decay applies to a parameter: not to biases and norms, as in transformers.
func isDecayed(_ path: String) -> Bool {
    let path = path.lowercased()
    return !path.hasSuffix("bias") && !path.contains("norm")
}
