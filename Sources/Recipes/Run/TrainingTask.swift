import Datasets
import Layers
import Models
import Trainers

/// What a run makes smaller, over which batches, and what of it is saved besides the weights.
struct TrainingTask {
    /// What is made smaller.
    let objective: any Objective
    /// What the training loop changes, and what that stands on.
    let trained: any Module
    /// Optimizer steps of the whole run.
    let steps: Int
    /// What is evaluated.
    let evaluation: [Example]
    /// What watches the run.
    let health: HealthMonitor
    /// The batches from the first step on.
    let makeBatches: () throws -> any BatchSource
    /// Waits until the disk has what is written as the run goes: before a checkpoint that it may go on from.
    let sync: () throws -> Void
    /// Writes what the run's folder holds besides the weights.
    let save: (RunFolder) throws -> Void
}

extension Recipe {
    /// The task of a recipe.
    func task(
        _ session: ModelSession, _ weights: TrainedWeights, _ data: RunData, reference: ReferenceModel?,
        folder: RunFolder?, observer: @escaping RunObserver
    ) throws -> TrainingTask {
        let health = HealthMonitor(healthLimits)
        if let settings = objective.policy {
            return try PolicyTask(
                self, settings.rollouts, settings.method, session, weights, data, reference: reference, folder: folder,
                health: health, observer: observer
            ).task
        }
        return TrainingTask(
            objective: objective(of: session.model, reference: reference), trained: session.model,
            steps: data.totalSteps, evaluation: data.evaluation, health: health, makeBatches: data.makeBatches,
            sync: {},
            save: { _ in })
    }
}
