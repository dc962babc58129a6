import Layers
import Tensors

/// Which parameters learn faster or more slowly than others.
public struct ParameterRates: Hashable, Sendable {
    /// LoRA+'s groups; nil where A and B learn alike.
    public var loraPlus: LoRAPlus?
    /// How much faster a new head learns than what it stands on: the score head of a reward model, PPO's value head. It begins as noise
    /// or as nothing, where adapters begin as the model.
    public var head: Double

    /// Makes a rule; with no words, all learn alike.
    public init(loraPlus: LoRAPlus? = nil, head: Double = 1) {
        self.loraPlus = loraPlus
        self.head = head
    }

    /// What a step's rate is multiplied with for a parameter.
    func factor(_ path: String, _ parameter: Parameter) -> Double {
        if path.hasPrefix("score.") || path.hasPrefix("v_head.") { return head }
        return loraPlus?.factor(path, parameter) ?? 1
    }
}

/// How an optimizer treats one parameter.
struct ParameterGroups {
    let rates: ParameterRates
    let weightDecay: Double

    /// The rate and the decay of a parameter in a step of this rate. PEFT's LoRA+ decays norms too.
    func callAsFunction(_ path: String, _ parameter: Parameter, _ rate: Double) -> (rate: Double, decay: Double) {
        let decays = rates.loraPlus == nil ? isDecayed(path) : !path.lowercased().contains("bias")
        return (rate * rates.factor(path, parameter), decays ? weightDecay : 0)
    }
}
