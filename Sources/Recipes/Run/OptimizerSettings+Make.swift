import Trainers

extension OptimizerSettings {
    /// The rule with these settings, without state.
    func makeOptimizer() -> any Optimizer {
        switch type {
        case .adamw: AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay)
        case .sgd: SGD(momentum: momentum, weightDecay: weightDecay)
        }
    }
}
