import Files
import Trainers

extension Recipe {
    /// What the recipe asks of the training loop, once the number of optimizer steps is known.
    ///
    /// - Throws: ``InputError`` where warm-up and decay do not fit into the run.
    public func trainingOptions(totalSteps: Int) throws -> TrainingOptions {
        TrainingOptions(
            totalSteps: totalSteps, learningRate: optimizer.learningRate,
            schedule: try optimizer.schedule(ofRunWith: totalSteps),
            maxGradientNorm: optimizer.maxGradNorm > 0 ? optimizer.maxGradNorm : nil, seed: UInt64(training.seed),
            recompute: training.recompute, tokensPerPass: training.tokensPerPass, evaluationSteps: training.evalSteps,
            saveSteps: output.saveSteps > 0 ? output.saveSteps : nil, savesBest: training.keepBest,
            earlyStoppingPatience: training.earlyStoppingPatience,
            earlyStoppingThreshold: training.earlyStoppingThreshold)
    }
}

extension OptimizerSettings {
    /// The learning rate's factor over a run of so many steps.
    ///
    /// - Throws: ``InputError`` where warm-up and decay do not fit into it.
    public func schedule(ofRunWith totalSteps: Int) throws -> Schedule {
        let warmup = warmupSteps.count(of: totalSteps)
        let shape: Schedule.Shape
        switch schedule {
        case .constant: shape = .constant
        case .linear: shape = .linear
        case .cosine: shape = .cosine(minimum: minLRRate)
        case .inverseSqrt: shape = .inverseSquareRoot
        case .warmupStableDecay:
            let decay = (decaySteps ?? Self.defaultDecaySteps).count(of: totalSteps)
            guard warmup.addingReportingOverflow(decay).partialValue <= totalSteps, decay <= totalSteps,
                warmup <= totalSteps
            else {
                throw InputError(
                    "the run has \(totalSteps) steps, fewer than its warm-up (\(warmup)) and decay (\(decay))",
                    hint: "`optimizer.warmup_steps` and `optimizer.decay_steps` may be shares of the run, below 1")
            }
            shape = .warmupStableDecay(decaySteps: decay, minimum: minLRRate)
        }
        return Schedule(shape, warmupSteps: warmup, totalSteps: totalSteps)
    }
}
