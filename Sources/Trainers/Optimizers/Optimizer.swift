import Layers
import Tensors

/// Turns gradients into changes of weights.
///
/// Its state is a list of named tensors beside the step count, so that a checkpoint can hold any optimizer.
public protocol Optimizer: AnyObject {
    /// Makes the state that is missing. Before the first step, so that what lives as long as the run does not take a buffer that every
    /// step needs.
    func makeState(for parameters: [(path: String, parameter: Parameter)])
    /// Changes every parameter that has a gradient.
    ///
    /// - Parameters:
    ///   - parameters: what training changes, with their paths.
    ///   - learningRate: of this step.
    ///   - gradientScale: multiplies every gradient first (clipping).
    func step(_ parameters: [(path: String, parameter: Parameter)], learningRate: Double, gradientScale: Float)
    /// The number of steps taken.
    var stepCount: Int { get set }
    /// The state: tensors of the shape of their parameter, named `<path>.<kind>` with a kind of ``stateKinds``.
    var state: [String: Tensor] { get set }
    /// The tensors that a parameter may have in ``state``.
    static var stateKinds: [String] { get }
}

/// Whether weight decay applies to a parameter: not to biases and norms, as in transformers.
func isDecayed(_ path: String) -> Bool {
    let path = path.lowercased()
    return !path.hasSuffix("bias") && !path.contains("norm")
}
