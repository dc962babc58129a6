import Trainers

extension OptimizerSettings {
    /// The rule with these settings, without state.
    func makeOptimizer() -> any Optimizer {
        let loraPlus = loraplusLRRatio.map {
            LoRAPlus(ratio: $0, embeddingShare: loraplusLREmbedding / learningRate)
        }
        let rates = ParameterRates(loraPlus: loraPlus, head: headLearningRate.map { $0 / learningRate } ?? 1)
        return switch type {
        case .adamw:
            AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay, rates: rates)
        case .sgd: SGD(momentum: momentum, weightDecay: weightDecay, rates: rates)
        }
    }
}
