import Layers
import Models
import Tensors

/// The model that is trained by policy optimisation, and what it is compared with.
public struct Policy {
    /// Policy and critic stand on this one model.
    public let model: CausalLM
    /// The policy's adapters.
    public let adapters: [String]
    /// What the policy is kept near to, mostly the same model without the policy's adapter; nil where no method asks for it.
    public let reference: (model: CausalLM, adapters: [String])?
    /// Expects rewards, on the same model; nil where no method asks for it.
    public let critic: Critic?
    /// Divides the logits, in decoding as in every probability.
    public let temperature: Double

    /// A policy.
    public init(
        _ model: CausalLM, adapters: [String], reference: (model: CausalLM, adapters: [String])? = nil,
        critic: Critic? = nil, temperature: Double = 1
    ) {
        precondition(temperature > 0, "a temperature of \(temperature)")
        self.model = model
        self.adapters = adapters
        self.reference = reference
        self.critic = critic
        self.temperature = temperature
    }

    /// The same where nobody asks what is expected: a pass of the critic's own is spared.
    var withoutCritic: Policy { Policy(model, adapters: adapters, reference: reference, temperature: temperature) }

    /// Everything that training changes, and what it stands on: the model, with the value head where there is one.
    public var trained: any Module { critic.map { ValuedModel(model, $0.head) } ?? model }
}

/// What says how much reward is still expected: a value head, on the policy's hidden states or on those of an adapter of its own.
public struct Critic {
    /// Whose hidden states a value head reads.
    public enum Trunk: Sendable {
        /// The policy's, at no further pass: what the head learns changes the policy's adapter too.
        case policy
        /// Those of an adapter of its own on the same base.
        case own
    }

    /// Reads hidden states.
    public let head: ValueHead
    /// The adapters of a pass of its own over the model; nil where it reads the policy's hidden states.
    public let adapters: [String]?

    /// A critic.
    public init(_ head: ValueHead, adapters: [String]? = nil) {
        self.head = head
        self.adapters = adapters
    }

    /// What is expected at the rows of a pass of the policy.
    ///
    /// - Parameters:
    ///   - rows: what the policy read.
    ///   - policyHidden: the policy's hidden states `[rows, hiddenSize]`.
    ///   - model: the model of both.
    ///   - context: of the policy's pass.
    /// - Returns: `[rows, 1]`.
    func values(_ rows: TokenRows, policyHidden: Tensor, of model: CausalLM, _ context: ForwardContext) -> Tensor {
        guard let adapters else { return head(policyHidden, context) }
        var own = context
        own.adapters = adapters
        return head(model.hidden(of: model.states(rows.tokens, own), rows: rows.rows), context)
    }
}

/// A model and the value head on its trunk, under TRL's name.
private final class ValuedModel: Module {
    private let model: CausalLM
    private let valueHead: ValueHead

    init(_ model: CausalLM, _ valueHead: ValueHead) {
        self.model = model
        self.valueHead = valueHead
    }

    var children: [(name: String, module: any Module)] { model.children + [("v_head", valueHead)] }
}
